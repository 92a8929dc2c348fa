"""YOLO segmentation: ``images/train/*.png``, ``labels/train/*.txt`` with one outline a line, and ``data.yaml``.

A line is ``class x1 y1 x2 y2 ...`` with 0 to 1 of width and height. Only things are written, numbered from 0 among
themselves; a hole is joined to its outline by a bridge without width, as the format knows no holes.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from labelfactory.errors import InputError
from labelfactory.storage.dataset import Dataset
from labelfactory.storage.exports.engine import Export, in_parallel
from labelfactory.storage.exports.png import image_png, name_of, read_image
from labelfactory.storage.segments import fill_polygon, polygon, segments


class YoloExport(Export):
    def __init__(self, dataset: Dataset, out: Path) -> None:
        super().__init__(dataset, out)
        self.things = [class_id for class_id, info in enumerate(self.spec.classes) if info.thing]
        if not self.things:
            raise InputError("YOLO segmentation has only things, and every class of this dataset is stuff")

    def write(self, shard: int, samples: Int[np.ndarray, "n"]) -> tuple[list[str], dict[str, Any]]:
        image, mask = self.dataset.read("image", samples), self.dataset.read("mask", samples)
        instance = self.dataset.read("instance", samples) if self.spec.instance else None

        def one(i: int) -> list[str]:
            name = name_of(samples[i])
            found = segments(self.spec, mask[i], None if instance is None else instance[i])
            lines = []
            for segment in found:
                if segment.thing:
                    corners = polygon(segment.pixels) / [self.spec.width, self.spec.height]
                    numbers = " ".join(f"{value:.6f}" for value in corners.ravel())
                    lines.append(f"{self.things.index(segment.class_id)} {numbers}\n")
            return [
                self.save(f"images/train/{name}.png", image_png(image[i])),
                self.save(f"labels/train/{name}.txt", "".join(lines).encode()),
            ]

        return [path for paths in in_parallel(one, len(samples)) for path in paths], {}

    def finish(self, notes: Iterator[dict[str, Any]]) -> list[str]:
        for _ in notes:
            continue
        names = [f"  {i}: {self.spec.classes[class_id].name!r}" for i, class_id in enumerate(self.things)]
        text = [
            "# all samples are for training; validate on real, human-labelled images",
            "path: .",
            "train: images/train",
        ]
        return [self.save("data.yaml", "\n".join([*text, "val: images/train", "names:", *names, ""]).encode())]

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
                back[fill_polygon(np.rint(corners).astype(np.int64), height, width)] = self.things[int(number)]
            things = np.where(np.isin(mask[i], self.things), mask[i], self.spec.ignore_index)
            self.same("outlines", samples[i], back, things)

        in_parallel(one, len(samples))
