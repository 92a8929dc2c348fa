"""YOLO segmentation: ``images/train/*.png``, ``labels/train/*.txt`` with one outline a line, and ``data.yaml``.

A line is ``class x1 y1 x2 y2 ...`` with 0 to 1 of width and height (``storage.outlines`` says what a corner is). Only
things are written, numbered from 0 among themselves; a hole is joined to its outline by a bridge without width, as the
format knows no holes.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from labelfactory.errors import InputError
from labelfactory.masks import countable
from labelfactory.storage.arrays import ArraySpec
from labelfactory.storage.dataset import Dataset
from labelfactory.storage.exports.encodings import image_png, name_of, read_image
from labelfactory.storage.exports.engine import Export, in_parallel
from labelfactory.storage.exports.objects import objects_of
from labelfactory.storage.outlines import fill, outline, parts
from labelfactory.storage.segments import Segment

DIGITS = 8  # of a coordinate: far less than an outline's distance from the pixels' edges, on any picture


class YoloExport(Export):
    layout = 2

    def __init__(self, dataset: Dataset, out: Path, masks: str = "grey") -> None:
        super().__init__(dataset, out, masks)
        self.things, _ = countable(self.spec.classes)
        if not self.things:
            raise InputError("YOLO segmentation has only things, and every class of this dataset is stuff")

    def holds(self, array: ArraySpec) -> bool:
        return array.role in ("image", "mask", "objects")

    def write(self, shard: int, samples: Int[np.ndarray, "n"]) -> tuple[list[str], dict[str, Any]]:
        image, found = self.dataset.read("image", samples), objects_of(self.dataset, samples)

        def one(i: int) -> list[str]:
            name = name_of(samples[i])
            text = "".join(self._line(segment) for segment in found[i] if segment.thing)
            return [
                self.save(f"images/train/{name}.png", image_png(image[i])),
                self.save(f"labels/train/{name}.txt", text.encode()),
            ]

        files = [path for paths in in_parallel(one, len(samples)) for path in paths]
        things = [segment for segments in found for segment in segments if segment.thing]
        numbered = self.spec.of_role("objects") is not None  # else a thing is one part
        apart = sum(parts(segment.pixels) > 1 for segment in things) if numbered else 0
        unlabelled = int((self.dataset.read("mask", samples) == self.spec.ignore_index).sum())
        return files, {"apart": apart, "unlabelled": unlabelled}

    def _line(self, segment: Segment) -> str:
        corners = outline(segment.pixels) / [self.spec.width, self.spec.height]
        numbers = " ".join(f"{value:.{DIGITS}f}" for value in corners.ravel())
        return f"{self.things.index(segment.class_id)} {numbers}\n"

    def finish(self, notes: Iterator[dict[str, Any]]) -> list[str]:
        names = [f"  {i}: {json.dumps(self.spec.classes[k].name)}" for i, k in enumerate(self.things)]
        return [self.save("data.yaml", data_yaml([], names).encode())]

    def remarks(self, notes: Iterator[dict[str, Any]]) -> list[str]:
        counted = list(notes)
        apart, unlabelled = (sum(note[key] for note in counted) for key in ("apart", "unlabelled"))
        stuff = [info.name for i, info in enumerate(self.spec.classes) if i not in self.things]
        told = [f"classes left out, as YOLO segmentation has only things: {', '.join(stuff)}"] if stuff else []
        if unlabelled:
            told.append(f"{unlabelled} unlabelled pixels become background: YOLO has no word for them")
        if self.spec.by_role("points"):
            told.append("key points have a format of their own: yolo-pose")
        if apart:
            told.append(f"{apart} objects have several parts: each is one outline, joined by lines one pixel wide")
        return told

    def check(self, shard: int, samples: Int[np.ndarray, "n"]) -> None:
        image, mask = self.dataset.read("image", samples), self.dataset.read("mask", samples)
        height, width = self.spec.height, self.spec.width

        def one(i: int) -> None:
            name = name_of(samples[i])
            self.same("image", samples[i], read_image(self.out / f"images/train/{name}.png"), image[i])
            back = np.full((height, width), self.spec.ignore_index, np.uint8)
            for line in (self.out / f"labels/train/{name}.txt").read_text().splitlines():
                number, *values = line.split()
                corners = np.array(values, dtype=np.float64).reshape(-1, 2) * [width, height]
                back[fill(corners, height, width)] = self.things[int(number)]
            things = np.where(np.isin(mask[i], self.things), mask[i], self.spec.ignore_index)
            self.same("outlines", samples[i], back, things)

        in_parallel(one, len(samples))


def data_yaml(lines: list[str], names: list[str]) -> str:
    """The description that ultralytics reads. Without ``path``, its folder is where the rest is looked for."""
    head = ["# all samples are for training; validate on real, human-labelled images", "train: images/train"]
    return "\n".join([*head, "val: images/train", *lines, "names:", *names, ""])
