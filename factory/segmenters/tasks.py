"""What a network can be trained for: one line a task, and what a network of a task is to tell."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from labelfactory.errors import InputError
from labelfactory.factory.evaluation.instances import objects_of
from labelfactory.factory.pairs.pairs import Pair, Pairs
from labelfactory.interpreters.classes import LabelClass
from labelfactory.masks import countable


class Task(NamedTuple):
    """help: what is predicted; needs: label kinds beside the mask; figure: the score that validation goes by;
    augmentation: variations of the pictures where nobody names others."""

    help: str
    needs: tuple[str, ...]
    figure: str
    augmentation: str


TASKS = {
    "semantic": Task("a class for each pixel", (), "miou", "dihedral"),
    "instance": Task("objects with masks", ("instances",), "ap", "dihedral"),
    "panoptic": Task("a class for each pixel, a number for each object", ("instances",), "pq_all", "dihedral"),
    "boxes": Task("objects with boxes", ("instances",), "box_ap", "dihedral"),
    "keypoints": Task("named points, one of each in a picture", ("keypoints",), "pck", "upright"),
}


@dataclass(frozen=True)
class Aim:
    """What a network is to tell apart: the classes, and the names of key points where these are its task."""

    task: str
    classes: tuple[LabelClass, ...]
    keypoints: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise InputError(f"unknown task {self.task!r}: choose one of {', '.join(TASKS)}")
        if "instances" in TASKS[self.task].needs:
            names = ", ".join(c.name for c in self.classes)
            if not self.things:
                raise InputError(f'{self.task}: no class of {names} is countable; say "thing": true of one')
            if not self.stuff:
                raise InputError(f"{self.task}: all classes of {names} are countable; put a background before them")
        if "keypoints" in TASKS[self.task].needs and not self.keypoints:
            raise InputError(f"{self.task}: the pairs name no key points: give a store or folder that has some")

    @property
    def things(self) -> list[int]:
        """Ids of the classes whose regions are objects."""
        return countable(self.classes)[0]

    @property
    def stuff(self) -> list[int]:
        """Ids of all other classes; the first is what no object covers, where the task is objects alone."""
        return [i for i in range(len(self.classes)) if i not in self.things]


class NumberedPairs(Pairs):
    """Pairs whose ``instances`` number the objects of countable classes alone, from 1 on.

    Where a pair has no numbers they are the connected parts of its mask (``masks.connected_objects``).
    """

    def __init__(self, pairs: Pairs, classes: Sequence[LabelClass]) -> None:
        self.pairs, self.points = pairs, pairs.points
        self.things, self.boundary = countable(classes)

    def __len__(self) -> int:
        return len(self.pairs)

    def fetch(self, indices: Sequence[int]) -> list[Pair]:
        """The pairs of these numbers."""
        return [replace(pair, instances=self._numbers(pair)) for pair in self.pairs.fetch(indices)]

    def _numbers(self, pair: Pair) -> np.ndarray:
        return objects_of(pair.mask, self.things, pair.instances, boundary=self.boundary).ids


def pairs_for(aim: Aim, pairs: Pairs) -> Pairs:
    """The pairs with the labels that a task needs."""
    return NumberedPairs(pairs, aim.classes) if "instances" in TASKS[aim.task].needs else pairs
