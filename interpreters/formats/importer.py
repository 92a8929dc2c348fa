"""From what a labelling tool wrote to a label set with masks: matching, mapping of classes, drawing, a report.

All of a source is read, checked and drawn before anything is returned, so nothing is ever half imported.
"""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np

from labelfactory.errors import InputError
from labelfactory.interpreters.array_types import UInt8
from labelfactory.interpreters.classes import LabelClass, new_colors
from labelfactory.interpreters.formats.drawing import BACKGROUND_LABEL, IGNORE_LABEL, Drawing, NoArea
from labelfactory.interpreters.formats.names import sample_finder
from labelfactory.interpreters.formats.points import keypoint_names, place_keypoints
from labelfactory.interpreters.formats.source import opened
from labelfactory.interpreters.formats.table import detect_format, open_format
from labelfactory.interpreters.labelset import LabelSet, Sample
from labelfactory.limits import IGNORE_INDEX

IGNORE = "ignore"
STRAY_PIXELS = 30  # of a 512 x 512 image; DatasetGAN leaves out regions below it


@dataclass
class ImportReport:
    """What an import did. ``lines()`` tells it to a person.

    Attributes:
        format: the one that was read.
        mapping: class of every label that the source uses; None: not labelled (255).
        pixels: how many pixels each label covers in the end.
        labelled, unlabelled: names of samples that now have labels, and of those without any.
        keypoints: how many were read.
        skipped: drawings of images that the label set does not have.
        notes: anything that a person should look at (stray regions, shapes without a pixel ...).
    """

    format: str
    mapping: dict[str, str | None] = field(default_factory=dict)
    pixels: dict[str, int] = field(default_factory=dict)
    labelled: list[str] = field(default_factory=list)
    unlabelled: list[str] = field(default_factory=list)
    keypoints: int = 0
    skipped: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        out = [f"{self.format}: {len(self.labelled)} samples labelled, {len(self.unlabelled)} without labels"]
        targets = list(self.mapping.values())
        for label, target in self.mapping.items():
            if target is None:
                how = "ignored (255)"
            else:
                how = f"-> {target}" + (" (merged)" if targets.count(target) > 1 else "")
            out.append(f"  {label} {how}: {self.pixels.get(label, 0)} pixels")
        out += [f"  {self.keypoints} keypoints"] if self.keypoints else []
        out += [f"  skipped: {s}" for s in self.skipped]
        return out + [f"  note: {n}" for n in self.notes]


def import_labels(
    labels: LabelSet,
    source: Path,
    format: str = "auto",
    *,
    mapping: Mapping[str, str] | None = None,
    unknown: Literal["refuse", "ignore", "add"] = "refuse",
    fill: str | None = None,
    drop_below: int = 0,
    skip_unmatched: bool = False,
    empty: Literal["unlabelled", "background"] | None = None,
) -> tuple[LabelSet, ImportReport]:
    """The label set with masks as drawn in ``source``; samples that the source does not draw keep what they have.

    Arguments:
        source: a file, a folder or a zip of one.
        mapping: class (or ``"ignore"``) of labels that are named differently. Others match by name, case aside.
        unknown: what happens to a label without a class: refuse the import, ignore its pixels (255), or add a class.
        fill: class (or ``"ignore"``) of pixels that no shape covers; None: the first class.
        drop_below: connected regions of fewer pixels become "not labelled"; 0 keeps all (and reports small ones).
        skip_unmatched: leave drawings of unknown images out instead of refusing.
        empty: what an image is in which nothing is drawn: not labelled, or all background (the first class). None: not
            labelled, and an image that the source merely lists, without anything drawn, keeps the labels that it has.

    Raises:
        InputError: naming file, shape and reason.
    """
    with opened(source) as files:
        if format == "auto":
            format = detect_format(files)
        drawings = [d.renamed(files.said) for d in open_format(format).read(files, labels, mapping or {})]
    if not drawings:
        raise InputError(f"{source}: has no {format} labels in it")
    report = ImportReport(format)
    by_sample = _match(drawings, labels, report, skip_unmatched)
    classes = _map_classes(list(by_sample.values()), labels.classes, mapping or {}, unknown, report)
    ids: dict[str | None, int] = {None: IGNORE_INDEX} | {c.name: i for i, c in enumerate(classes)}
    fill_name = classes[0].name if fill is None else None if fill == IGNORE else fill
    if fill_name not in ids:
        raise InputError(
            f"fill: {fill!r} is not a class; expected {IGNORE!r} or one of {', '.join(labels.class_names)}"
        )
    by_sample = {n: _without_ignored(d, mapping or {}, report) for n, d in by_sample.items()}
    points = keypoint_names(by_sample, labels.keypoints, unknown)
    samples = []
    for sample in labels:
        drawing = by_sample.get(sample.name)
        if sample.keypoints is not None and len(points) > len(sample.keypoints):
            missing = np.zeros((len(points) - len(sample.keypoints), 3), np.float32)
            sample = sample._replace(keypoints=np.concatenate([sample.keypoints, missing]))
        if drawing is not None and drawing.empty:
            sample = _emptied(sample, drawing, empty, report)
        if drawing is not None and drawing.keypoints:
            placed = place_keypoints(drawing, points)
            sample = sample._replace(keypoints=placed)
            report.keypoints += int((placed[:, 2] > 0).sum())
        if drawing is not None and drawing.shapes:
            mask = _draw(drawing, sample, {k: ids[v] for k, v in report.mapping.items()}, ids[fill_name], report)
            mask = _check_regions(mask, sample.name, classes, drop_below, report)
            sample = sample._replace(mask=mask, drawn=None, restored_by="")  # what was restored before is replaced
        samples.append(sample)
        (report.labelled if sample.labelled else report.unlabelled).append(sample.name)
    return replace(labels, classes=classes, samples=tuple(samples), keypoints=points), report


def _match(drawings: list[Drawing], labels: LabelSet, report: ImportReport, skip: bool) -> dict[str, Drawing]:
    samples = {s.name: s for s in labels}
    find = sample_finder(labels)
    found: dict[str, Drawing] = {}
    for drawing in drawings:
        report.notes += drawing.notes
        name = find(drawing.names)
        if name is None:
            if not skip:
                raise InputError(
                    f"{drawing.where}: no sample is called {' or '.join(map(repr, drawing.names))}; "
                    "rename it after its image or allow skipping of unmatched files"
                )
            report.skipped.append(drawing.where)
            continue
        if name in found:
            raise InputError(f"{drawing.where}: sample {name!r} is drawn already by {found[name].where}")
        height, width, _ = samples[name].image.shape
        if drawing.size not in (None, (height, width)):
            h, w = drawing.size
            raise InputError(f"{drawing.where}: is for an image of {w} x {h}; sample {name!r} has {width} x {height}")
        found[name] = drawing
    if not found:
        raise InputError(
            f"none of {len(drawings)} drawings belongs to a sample; files have to be called like the images"
        )
    return found


def _key(name: str) -> str:
    """What names have in common that mean the same: case, spaces around and Unicode's form do not count."""
    return unicodedata.normalize("NFC", name).casefold().strip()


def _map_classes(
    drawings: list[Drawing],
    classes: tuple[LabelClass, ...],
    mapping: Mapping[str, str],
    unknown: str,
    report: ImportReport,
) -> tuple[LabelClass, ...]:
    by_name = {_key(c.name): c.name for c in classes}
    points = {k.label for d in drawings for k in d.keypoints}
    for label, target in mapping.items():
        if target != IGNORE and _key(target) not in by_name and label not in points:
            names = ", ".join(c.name for c in classes)
            raise InputError(f"map: {label}={target}: no class {target!r}; expected {IGNORE!r} or one of {names}")
    first: dict[str, str] = {}
    for drawing in drawings:
        for shape in drawing.shapes:
            first.setdefault(shape.label, shape.where)
    added: list[LabelClass] = []
    missing: list[str] = []
    for label in first:
        target = mapping.get(label, label)
        if label not in mapping and label == BACKGROUND_LABEL:
            report.mapping[label] = classes[0].name
        elif target == IGNORE_LABEL or (label in mapping and target == IGNORE):
            report.mapping[label] = None
        elif _key(target) in by_name:
            report.mapping[label] = by_name[_key(target)]
        elif unknown == "ignore":
            report.mapping[label] = None
        elif unknown == "add":
            name = label.strip()
            (color,) = new_colors(1, [c.color for c in (*classes, *added)])
            added.append(LabelClass(name, color))
            by_name[_key(name)] = report.mapping[label] = name
        else:
            missing.append(label)
    for label in mapping:
        if label not in first and label not in points:
            report.notes.append(f"map: no shape is labelled {label!r}")
    if missing:
        raise InputError(
            f"{first[missing[0]]}: no class for {', '.join(map(repr, missing[:10]))}; the set has "
            f"{', '.join(c.name for c in classes)}: map each to a class or to {IGNORE!r}"
        )
    return (*classes, *added)


def _without_ignored(drawing: Drawing, mapping: Mapping[str, str], report: ImportReport) -> Drawing:
    """The drawing without points whose labels are ignored, others under their mapped names; shapes that give no pixels
    are left out where their labels are ignored. InputError for such a shape whose label is not."""
    shapes = []
    for shape in drawing.shapes:
        if not isinstance(shape.region, NoArea):
            shapes.append(shape)
        elif report.mapping[shape.label] is not None:
            raise InputError(f"{shape.where}: {shape.region.reason}; or map its label to {IGNORE!r}")
        else:
            report.notes.append(f"{shape.where}: left out, as its label is ignored ({shape.region.reason})")
    points = [k._replace(label=mapping.get(k.label, k.label)) for k in drawing.keypoints]
    ignored = sum(k.label == IGNORE for k in points)
    if ignored:
        report.notes.append(f"{drawing.where}: {ignored} points left out, as their labels are ignored")
    kept = replace(drawing, shapes=shapes, keypoints=[k for k in points if k.label != IGNORE])
    return replace(kept, said="unopened") if kept.empty and not drawing.empty else kept


def _emptied(sample: Sample, drawing: Drawing, empty: str | None, report: ImportReport) -> Sample:
    """The sample where nothing is drawn in it: see ``import_labels``."""
    has_labels = sample.labelled or sample.keypoints is not None
    if drawing.said == "unopened" or (drawing.said == "listed" and empty is None):
        if has_labels:
            report.notes.append(f"{drawing.where}: has nothing drawn: {sample.name} keeps its labels")
        return sample
    if empty == "background":
        report.notes.append(f"{drawing.where}: has nothing drawn: all of {sample.name} is background")
    elif has_labels:
        report.notes.append(f"{drawing.where}: has nothing drawn: the labels of {sample.name} are removed")
    value = 0 if empty == "background" else IGNORE_INDEX
    return sample._replace(mask=np.full_like(sample.mask, value), keypoints=None, drawn=None, restored_by="")


def _draw(
    drawing: Drawing, sample: Sample, ids: dict[str, int], fill: int, report: ImportReport
) -> UInt8[np.ndarray, "height width"]:
    height, width, _ = sample.image.shape
    mask = np.full((height, width), fill, dtype=np.uint8)
    owner = np.zeros((height, width), dtype=np.int64)  # number of the shape, from 1
    drawn = set()
    for number, shape in enumerate(drawing.shapes, 1):
        region = shape.region.fill(height, width)
        if region.any():
            drawn.add(number)
        else:
            report.notes.append(f"{shape.where}: covers no pixel's centre")
        mask[region] = ids[shape.label]
        owner[region] = number
    left = np.bincount(owner.ravel(), minlength=len(drawing.shapes) + 1).tolist()
    for number, shape in enumerate(drawing.shapes, 1):
        report.pixels[shape.label] = report.pixels.get(shape.label, 0) + left[number]
        if number in drawn and not left[number]:
            report.notes.append(f"{shape.where}: wholly covered by later shapes: none of its pixels is left")
    return mask


def _check_regions(
    mask: np.ndarray, name: str, classes: tuple[LabelClass, ...], drop_below: int, report: ImportReport
) -> UInt8[np.ndarray, "height width"]:
    from scipy import ndimage

    stray = max(3, round(STRAY_PIXELS * mask.size / 512**2))
    for value, cls in enumerate(classes):
        labelled, count = ndimage.label(mask == value, structure=np.ones((3, 3)))
        sizes = np.bincount(labelled.ravel(), minlength=count + 1)
        sizes[0] = mask.size
        small = sizes < drop_below
        if small.any():
            mask[small[labelled]] = IGNORE_INDEX
            report.notes.append(f"{name}: {small.sum()} {cls.name} regions below {drop_below} pixels dropped (255)")
        kept = sizes[(sizes < stray) & ~small]
        if len(kept):
            at = "1 pixel" if kept.min() == 1 else f"{kept.min()} pixels"
            report.notes.append(f"{name}: {len(kept)} stray {cls.name} regions, the smallest of {at}")
    return mask
