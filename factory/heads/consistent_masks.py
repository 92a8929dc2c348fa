"""One rule for all masks: how much wider or narrower than the others' each person's outlines are, found and undone.

Masks of different images are drawn at different times, and often by different people: one stays inside of an object's
edge, another goes around it. An interpreter that learns from both learns neither. Here each image's offset is found
jointly with the interpreter: those trained on the *other* images say where they would put the edge.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from labelfactory.errors import InputError
from labelfactory.factory.generator import ImageGenerator
from labelfactory.factory.heads.classes import InterpreterSettings, train_interpreter
from labelfactory.factory.labels.feature_maps import feature_maps, group_numbers
from labelfactory.interpreters.array_types import Bool, UInt8
from labelfactory.interpreters.labelset import LabelSet, Sample
from labelfactory.limits import IGNORE_INDEX
from labelfactory.masks import countable

MOST = 2  # pixels by which an outline may be moved
TRIED = range(-MOST - 1, MOST + 2)  # pixels: one more on either side says on which side of the last the best one lies
BAND = 5  # pixels on either side of the outline as drawn that are looked at: what is said elsewhere is another matter
SURE = 0.7  # share of that band that others have to give the same class: below, they do not know the picture
FOLDS = 4  # interpreters a round, each trained without a part of the images
MEMBERS = 3  # of each of them
ROUNDS = 2


class Offset(NamedTuple):
    """How far a picture's outlines were moved, in pixels (above 0: outwards), and the share of the pixels along them
    (``BAND``) of which the interpreters of the other pictures say the same, before and after."""

    pixels: int
    before: float
    after: float

    def line(self, name: str) -> str:
        """For a person."""
        done = f"outlines moved {'out' if self.pixels > 0 else 'in'} by {abs(self.pixels)} px"
        said = f"{self.before:.1%} of the pixels along them as the others have it"
        return f"{name}: {done}, {said}, then {self.after:.1%}" if self.pixels else f"{name}: outlines as drawn, {said}"


def moved(
    mask: UInt8[np.ndarray, "height width"], pixels: int, things: Sequence[int]
) -> UInt8[np.ndarray, "height width"]:
    """The mask with the outline of what is a thing moved outwards, or for ``pixels`` below 0 inwards.

    What is won or lost gets the class of the nearest pixel of the other side; edges between two things, and pixels
    that nobody labelled, stay. A mask without things, or of nothing else, is as it was.
    """
    inside, ground = _sides(mask, things)
    if pixels == 0 or not inside.any() or not ground.any():
        return mask
    winning, losing = (inside, ground) if pixels > 0 else (ground, inside)
    distance, nearest = ndimage.distance_transform_edt(~winning, return_indices=True)
    return np.where(losing & (distance <= abs(pixels)), mask[tuple(nearest)], mask)


def consistent_masks(
    generator: ImageGenerator, labels: LabelSet, settings: InterpreterSettings, progress: bool = True
) -> tuple[LabelSet, dict[str, Offset]]:
    """The labelled samples with their outlines moved by one rule, and how far those of each picture were moved.

    Views of a picture (``Sample.group``) are moved alike. On the average nothing is moved: which of two rules is the
    right one cannot be seen from their difference. InputError where there are fewer than two pictures, or no things.
    """
    labels, things = labels.labelled, countable(labels.classes)[0]
    names = sorted({sample.group for sample in labels})
    if len(names) < 2 or not things:
        there = f"{len(names)} labelled pictures, {len(things)} classes that are things"
        raise InputError(
            f"{labels.where}: consistent masks compare the outlines of things in 2 pictures or more: {there}"
        )
    few = replace(settings, members=min(MEMBERS, settings.members))
    offsets = np.zeros(len(names))
    shares: dict[str, dict[int, float]] = {}
    for _ in range(ROUNDS):
        before = np.rint(offsets)
        shares = _agreement(generator, labels, _applied(labels, names, before, things), few, things, progress)
        best = np.array([_best(shares[name]) for name in names])
        # The interpreter's rule is that of the other pictures: the mean of all lies a little nearer to each picture's.
        offsets = offsets + (1 - 1 / min(FOLDS, len(names))) * (best - offsets)
        offsets = np.clip(offsets - offsets.mean(), -MOST, MOST)
        if np.array_equal(np.rint(offsets), before):
            break
    final = dict(zip(names, np.rint(offsets).astype(int).tolist(), strict=True))
    told = {name: Offset(final[name], shares[name][0], shares[name][final[name]]) for name in names}
    return _applied(labels, names, np.rint(offsets), things), told


def _best(shares: Mapping[int, float]) -> float:
    """The offset of the largest share, between whole pixels by the parabola through its neighbours; 0 where nobody
    knows."""
    best = max(sorted(shares, key=abs), key=shares.__getitem__)
    if shares[best] < SURE or best in (TRIED[0], TRIED[-1]):
        return float(best) if shares[best] >= SURE else 0.0
    low, middle, high = (shares[best + step] for step in (-1, 0, 1))
    curvature = low - 2 * middle + high
    return best + (0.5 * (low - high) / curvature if curvature else 0.0)


def _sides(
    mask: UInt8[np.ndarray, "height width"], things: Sequence[int]
) -> tuple[Bool[np.ndarray, "height width"], Bool[np.ndarray, "height width"]]:
    """What is a thing, and what was labelled as none."""
    inside = np.isin(mask, things)
    return inside, ~inside & (mask != IGNORE_INDEX)


def _along(mask: UInt8[np.ndarray, "height width"], things: Sequence[int]) -> Bool[np.ndarray, "height width"]:
    """Labelled pixels within ``BAND`` of the outline of what is a thing."""
    inside, ground = _sides(mask, things)
    if not inside.any() or not ground.any():
        return np.zeros(mask.shape, bool)
    near = ndimage.distance_transform_edt(~inside) + ndimage.distance_transform_edt(~ground) <= BAND
    return np.asarray(near & (mask != IGNORE_INDEX))


def _applied(labels: LabelSet, names: Sequence[str], offsets: np.ndarray, things: Sequence[int]) -> LabelSet:
    pixels: Mapping[str, int] = dict(zip(names, offsets.astype(int).tolist(), strict=True))
    return replace(
        labels, samples=tuple(s._replace(mask=moved(s.mask, pixels[s.group], things)) for s in labels.samples)
    )


def _agreement(
    generator: ImageGenerator,
    labels: LabelSet,
    current: LabelSet,
    settings: InterpreterSettings,
    things: Sequence[int],
    progress: bool,
) -> dict[str, dict[int, float]]:
    """For each picture and offset of its outlines as drawn: the share of pixels along them that interpreters trained
    on the other pictures, as they are at present, give the same class."""
    groups = np.array(group_numbers(s.group for s in labels))
    order = np.random.default_rng(settings.seed).permutation(groups.max() + 1)
    fold = (np.argsort(order) % FOLDS)[groups]
    equal = {s.group: dict.fromkeys(TRIED, 0) for s in labels}
    known = dict.fromkeys(equal, 0)
    for number in np.unique(fold).tolist():
        others = replace(current, samples=tuple(s for s, f in zip(current, fold, strict=True) if f != number))
        own: list[Sample] = [s for s, f in zip(labels, fold, strict=True) if f == number]
        interpreter = train_interpreter(generator, others, settings, progress).to(generator.device)
        for sample, maps in feature_maps(generator, labels, own, progress):
            said = interpreter.predict(maps, crop=labels.crop).mask[0].cpu().numpy()
            there = _along(sample.mask, things)
            known[sample.group] += int(there.sum())
            for pixels in equal[sample.group]:
                equal[sample.group][pixels] += int((moved(sample.mask, pixels, things) == said)[there].sum())
    return {name: {pixels: n / max(1, known[name]) for pixels, n in counts.items()} for name, counts in equal.items()}
