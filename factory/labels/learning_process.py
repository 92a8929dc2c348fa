"""Learning in a process of its own, so that who draws never waits for it."""

from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from labelfactory.factory.labels.child_process import ChildProcess
from labelfactory.interpreters.array_types import UInt8
from labelfactory.interpreters.labelset import LabelSet
from labelfactory.limits import IGNORE_INDEX

BURSTS = 12  # after a change, at most: then there is little left to learn from it
SETTLED = 0.98  # a burst whose loss is above this share of the one before is the last


@dataclass(frozen=True)
class Proposal:
    """What the model of a revision says of a sample. ``uncertainty`` is in 1/255 of ln(members) nats, its maximum."""

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


class LearningProcess(ChildProcess):
    """Hands drawn masks to the process and what it says to ``hear``, which is called in a thread of its own.

    ``hear`` gets ``Proposal``s, ``learning.Progress``, ``FreshSample``s (``gallery`` of them, made anew after the rest)
    and, should the process fail, one WorkError. ``interpreter``: a file to go on from.
    """

    def __init__(
        self,
        labels: LabelSet,
        generator: str,
        device: str,
        hear: Callable[[Any], None],
        threads: int = 1,
        gallery: int = 0,
        interpreter: Path | None = None,
    ) -> None:
        arguments = (labels, generator, device, threads, gallery, interpreter)
        super().__init__(_work, arguments, hear, "learning", "proposals have stopped")

    def drawn(self, index: int, mask: UInt8[np.ndarray, "height width"]) -> None:
        """What is drawn on a sample now."""
        self.send(("drawn", index, mask.copy()))

    def looked_at(self, index: int) -> None:
        """The sample that is on the screen: its proposal comes first."""
        self.send(("looked_at", index))

    def stop(self, patience_s: float = 5.0) -> None:
        """Ends the learning, after the burst at hand where that is soon."""
        self.send(("stop",))
        super().stop(patience_s)


def _work(
    pipe: Connection,
    labels: LabelSet,
    generator: str,
    device: str,
    threads: int,
    gallery: int,
    interpreter: Path | None,
) -> None:
    """The process: takes in what is drawn, learns, proposes; what is looked at comes first."""
    import torch

    from labelfactory.factory.families import open_generator
    from labelfactory.factory.labels.learning import Learner
    from labelfactory.interpreters import StyleInterpreter

    torch.set_num_threads(threads)
    start = None if interpreter is None else StyleInterpreter.load(interpreter)
    _learn(pipe, Learner(open_generator(generator, device), labels, start=start), len(labels), gallery)


def _learn(pipe: Connection, learner: Any, count: int, gallery: int) -> None:
    shown, bursts_left, last_loss = 0, 0, float("inf")
    proposed = dict.fromkeys(range(count), -1)  # sample to the model's revision that its proposal is of
    hung = dict.fromkeys(range(gallery), -1)  # place in the gallery, likewise

    def propose(index: int) -> None:
        prediction = learner.propose(index)
        most = max(1e-9, float(np.log(learner.model.members)))
        heat = (prediction.uncertainty[0].float().cpu().numpy() / most * 255).round().clip(0, 255).astype(np.uint8)
        mask = prediction.mask[0].cpu().numpy().astype(np.uint8)
        proposed[index] = learner.revision
        pipe.send(Proposal(index, learner.revision, mask, heat, float(prediction.score[0])))

    while True:
        stale = [i for i in (shown, *proposed) if proposed[i] != learner.revision] if learner.revision else []
        old = [k for k in hung if hung[k] != learner.revision] if learner.revision else []
        idle = not (bursts_left or stale or old)
        while pipe.poll(None if idle else 0):
            message = pipe.recv()
            if message[0] == "stop":
                return
            if message[0] == "looked_at":
                shown = message[1]
            else:
                learner.learn(message[1], message[2])
                bursts_left, last_loss = BURSTS, float("inf")
            idle = False
        if bursts_left:
            progress = learner.train()
            bursts_left -= 1
            if not progress.steps or progress.loss > SETTLED * last_loss:
                bursts_left = 0
            last_loss = progress.loss
            if progress.steps:
                pipe.send(progress)
                propose(shown)
        elif stale:
            propose(stale[0])
        elif old:
            seed, image, prediction = learner.fresh(old[0])
            hung[old[0]] = learner.revision
            mask = prediction.mask[0].cpu().numpy().astype(np.uint8)
            pipe.send(FreshSample(old[0], learner.revision, seed, image, mask, float(prediction.score[0])))


def nothing_proposed(height: int, width: int) -> UInt8[np.ndarray, "height width"]:
    """A proposal before there is any."""
    return np.full((height, width), IGNORE_INDEX, np.uint8)
