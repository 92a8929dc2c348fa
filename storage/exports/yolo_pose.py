"""YOLO pose: ``images/train/*.png``, ``labels/train/*.txt`` with one line of key points, and ``data.yaml``.

A line is ``0 x y width height`` of the box, then ``x y visibility`` of each point: 2 where it is seen, and 0 0 0 where
not. Numbers are 0 to 1 of width and height. Files of outlines and of key points have the same place, hence two formats.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Int

from labelfactory.errors import InputError
from labelfactory.storage.arrays import ArraySpec
from labelfactory.storage.dataset import Dataset
from labelfactory.storage.exports.encodings import image_png, name_of, read_image
from labelfactory.storage.exports.engine import Export, in_parallel
from labelfactory.storage.exports.objects import objects_of, points_box, seen_points
from labelfactory.storage.exports.yolo import DIGITS, data_yaml
from labelfactory.storage.segments import Segment


class YoloPoseExport(Export):
    layout = 1

    def __init__(self, dataset: Dataset, out: Path, masks: str = "grey") -> None:
        super().__init__(dataset, out, masks)
        points = self.spec.of_role("points")
        if points is None:
            raise InputError("YOLO pose has key points, and this dataset has none: choose another format")
        self.points = points

    def holds(self, array: ArraySpec) -> bool:
        return array.role == "image" or array == self.points

    def write(self, shard: int, samples: Int[np.ndarray, "n"]) -> tuple[list[str], dict[str, Any]]:
        image, points = self.dataset.read("image", samples), self.dataset.read(self.points.name, samples)
        found = objects_of(self.dataset, samples)

        def one(i: int) -> list[str]:
            name = name_of(samples[i])
            return [
                self.save(f"images/train/{name}.png", image_png(image[i])),
                self.save(f"labels/train/{name}.txt", self._line(points[i], found[i]).encode()),
            ]

        return [path for paths in in_parallel(one, len(samples)) for path in paths], {}

    def _line(self, points: Float32[np.ndarray, "point 3"], found: list[Segment]) -> str:
        """One object an image; nothing where no point is seen."""
        box = points_box(self.spec, points, found)
        if box is None:
            return ""
        size = np.array([self.spec.width, self.spec.height])
        left_top, extent = np.array(box[:2]), np.array(box[2:])
        words = ["0", *numbers((left_top + extent / 2) / size), *numbers(extent / size)]
        for point, seen in zip(points, seen_points(self.spec, points), strict=True):
            words += [*numbers(point[:2] / size), "2"] if seen else ["0", "0", "0"]
        return " ".join(words) + "\n"

    def finish(self, notes: Iterator[dict[str, Any]]) -> list[str]:
        names = [channel.name for channel in self.points.channels]
        points = [f"    - {json.dumps(name)}" for name in names]
        shape = [f"kpt_shape: [{len(points)}, 3]", "kpt_names:", "  0:", *points]
        return [self.save("data.yaml", data_yaml(shape, ['  0: "object"']).encode())]

    def remarks(self, notes: Iterator[dict[str, Any]]) -> list[str]:
        return ["the key points' confidence is left out: YOLO pose has none"]

    def check(self, shard: int, samples: Int[np.ndarray, "n"]) -> None:
        image, points = self.dataset.read("image", samples), self.dataset.read(self.points.name, samples)
        size = [self.spec.width, self.spec.height]

        def one(i: int) -> None:
            name = name_of(samples[i])
            self.same("image", samples[i], read_image(self.out / f"images/train/{name}.png"), image[i])
            line = (self.out / f"labels/train/{name}.txt").read_text().split()
            rows = np.array(line[5:] or np.zeros(points[i].shape), dtype=np.float64).reshape(-1, 3)
            seen = seen_points(self.spec, points[i])
            self.same("seen key points", samples[i], rows[:, 2] == 2, seen)
            near = np.allclose(rows[seen, :2] * size, points[i][seen, :2], atol=1e-3)
            self.same("key points", samples[i], near, True)

        in_parallel(one, len(samples))


def numbers(values: np.ndarray) -> list[str]:
    return [f"{value:.{DIGITS}f}" for value in values.tolist()]
