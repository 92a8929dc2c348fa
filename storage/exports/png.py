"""A folder of PNG pairs: ``images/NNNNNNNNN.png``, ``masks/NNNNNNNNN.png``, and whatever else the store has.

Per-pixel arrays have a folder each: ``instances/`` (16-bit PNG), ``uncertainties/``, ``values/`` and
``value_uncertainties/`` (NPY, float16, (y, x) or (y, x, channel)). ``samples.csv`` has seed, score, key points and the
like, ``classes.json`` says what the numbers mean.
"""

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Int

from labelfactory.storage.arrays import ArraySpec
from labelfactory.storage.exports.encodings import (
    decode_map,
    encode_map,
    image_png,
    map_suffix,
    name_of,
    read_image,
    read_png,
)
from labelfactory.storage.exports.engine import Export, in_parallel
from labelfactory.storage.exports.facts import description, facts, flat, is_fact, is_map, maps


def folder_of(array: ArraySpec) -> str:
    """``value_uncertainties`` for ``value_uncertainty``."""
    return f"{array.name.removesuffix('y')}ies" if array.name.endswith("y") else f"{array.name}s"


class PngExport(Export):
    layout = 2
    mask_styles = True

    def holds(self, array: ArraySpec) -> bool:
        return array.name in ("image", "mask") or is_map(array) or is_fact(array)

    def write(self, shard: int, samples: Int[np.ndarray, "n"]) -> tuple[list[str], dict[str, Any]]:
        image, mask = self.dataset.read("image", samples), self.dataset.read("mask", samples)
        others = {folder_of(array): self.dataset.read(array.name, samples) for array in maps(self.spec)}

        def one(i: int) -> list[str]:
            name = name_of(samples[i])
            files = [
                self.save(f"images/{name}.png", image_png(image[i])),
                self.save(f"masks/{name}.png", self.masks.encode(mask[i])),
            ]
            for folder, array in others.items():
                suffix, data = encode_map(array[i])
                files.append(self.save(f"{folder}/{name}.{suffix}", data))
            return files

        files = [path for paths in in_parallel(one, len(samples)) for path in paths]
        return files, {"rows": [dict(flat(self.spec, row)) for row in facts(self.dataset, samples)]}

    def finish(self, notes: Iterator[dict[str, Any]]) -> list[str]:
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        for i, row in enumerate(row for note in notes for row in note["rows"]):
            name = name_of(row.pop("index"))
            if i == 0:
                table.writerow(["name", *row])
            table.writerow([name, *row.values()])
        document = description(self.spec, self.masks)
        return [
            self.save("samples.csv", text.getvalue().encode()),
            self.save("classes.json", json.dumps(document, indent=1, ensure_ascii=False).encode()),
        ]

    def check(self, shard: int, samples: Int[np.ndarray, "n"]) -> None:
        image, mask = self.dataset.read("image", samples), self.dataset.read("mask", samples)
        others = [
            (folder_of(a), map_suffix(a.dtype, a.dims), self.dataset.read(a.name, samples)) for a in maps(self.spec)
        ]

        def one(i: int) -> None:
            name = name_of(samples[i])
            self.same("image", samples[i], read_image(self.out / f"images/{name}.png"), image[i])
            self.same("mask", samples[i], read_png(self.out / f"masks/{name}.png"), self.masks.as_read(mask[i]))
            for folder, suffix, array in others:
                path = self.out / f"{folder}/{name}.{suffix}"
                self.same(folder, samples[i], decode_map(suffix, path), array[i])

        in_parallel(one, len(samples))
