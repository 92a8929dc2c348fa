"""Learning in a process of its own, so that who draws never waits for it."""

from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from labelfactory.factory.labels.child_process import ChildProcess
from labelfactory.factory.labels.proposer import Proposer, begin_proposer
from labelfactory.interpreters.array_types import UInt8
from labelfactory.interpreters.labelset import LabelSet

BURSTS = 12  # after a change, at most: then there is little left to learn from it
SETTLED = 0.98  # a burst whose loss is above this share of the one before is the last


class LearningProcess(ChildProcess):
    """Hands drawn masks to the process and what it says to ``hear``, which is called in a thread of its own.

    ``hear`` gets ``Proposal``s, ``Progress``, ``FreshSample``s (``gallery`` of them, made anew after the rest) and,
    should the process fail, one WorkError. ``proposer``: a name in ``proposer.PROPOSERS``; ``model``: a file of
    its to go on from.
    """

    def __init__(
        self,
        labels: LabelSet,
        generator: str,
        device: str,
        hear: Callable[[Any], None],
        threads: int = 1,
        gallery: int = 0,
        proposer: str = "interpreter",
        model: Path | None = None,
    ) -> None:
        arguments = (labels, generator, device, threads, gallery, proposer, model)
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
    proposer: str,
    model: Path | None,
) -> None:
    """The process: takes in what is drawn, learns, proposes; what is looked at comes first."""
    import torch

    from labelfactory.factory.families import open_generator

    torch.set_num_threads(threads)
    learner = begin_proposer(proposer, open_generator(generator, device), labels, model)
    _learn(pipe, learner, len(labels), gallery)


def _learn(pipe: Connection, learner: Proposer, count: int, gallery: int) -> None:
    shown, bursts_left, last_loss = 0, 0, float("inf")
    proposed = dict.fromkeys(range(count), -1)  # sample to the model's revision that its proposal is of
    hung = dict.fromkeys(range(gallery), -1)  # place in the gallery, likewise

    def propose(index: int) -> None:
        proposed[index] = learner.revision
        pipe.send(learner.propose(index))

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
            hung[old[0]] = learner.revision
            pipe.send(learner.fresh(old[0]))
