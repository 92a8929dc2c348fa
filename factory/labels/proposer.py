"""The contract of what proposes labels while somebody draws, and the table of those that there are.

A proposer lives in a process of its own (``learning_process``). It is told what is drawn on which sample, learns in
short bursts if it learns at all, and gives a mask with uncertainty for any sample of the set and for fresh ones.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from labelfactory.factory.generator import ImageGenerator
from labelfactory.interpreters.array_types import UInt8
from labelfactory.interpreters.labelset import LabelSet
from labelfactory.lazy import member
from labelfactory.limits import IGNORE_INDEX

# A class each, whose `begin` makes one for a label set. One line adds one.
PROPOSERS = {
    "interpreter": "labelfactory.factory.labels.learning:Learner",
    "restorer": "labelfactory.factory.translation.proposer:RestoringProposer",
}


@dataclass(frozen=True)
class Progress:
    """After a burst. ``loss``: mean cross entropy of its steps, nats; NaN where there is nothing to learn yet."""

    revision: int
    steps: int
    pixels: int
    loss: float
    seconds: float


@dataclass(frozen=True)
class Proposal:
    """What the model of a revision says of a sample. ``uncertainty``: 0 to 255, its maximum; ``score`` in nats."""

    index: int
    revision: int
    mask: UInt8[np.ndarray, "height width"]
    uncertainty: UInt8[np.ndarray, "height width"]
    score: float


@dataclass(frozen=True)
class FreshSample:
    """One of the data set to come, number ``place`` of the gallery, by the model of a revision."""

    place: int
    revision: int
    seed: int
    image: UInt8[np.ndarray, "height width channels"]
    mask: UInt8[np.ndarray, "height width"]
    score: float


@runtime_checkable
class Proposer(Protocol):
    """``revision`` counts what could change a proposal; 0: nothing can be proposed yet."""

    revision: int

    @classmethod
    def begin(cls, generator: ImageGenerator, labels: LabelSet, model: Path | None) -> "Proposer":
        """For this label set, on from the file ``model``. InputError where they do not belong together."""

    def learn(self, index: int, mask: UInt8[np.ndarray, "height width"]) -> None:
        """What is drawn on a sample now, in place of what was drawn before; 255 is not labelled."""

    def train(self) -> Progress:
        """One burst of at most some tenths of a second; no steps where there is nothing to do."""

    def propose(self, index: int) -> Proposal:
        """A sample of the set, of its crop where the set has one."""

    def fresh(self, place: int) -> FreshSample:
        """A sample that nobody has seen: number ``place`` of the data set to come."""


def begin_proposer(name: str, generator: ImageGenerator, labels: LabelSet, model: Path | None) -> Proposer:
    """The proposer of that name in ``PROPOSERS``."""
    kind: type[Proposer] = member(PROPOSERS[name])
    return kind.begin(generator, labels, model)


def nothing_proposed(height: int, width: int) -> UInt8[np.ndarray, "height width"]:
    """A proposal before there is any."""
    return np.full((height, width), IGNORE_INDEX, np.uint8)
