"""A folder of PNG pairs: ``images/NNNNNNNNN.png`` and ``masks/NNNNNNNNN.png`` (class ids, coloured by the palette).

Where the store has values: ``values/NNNNNNNNN.npy`` and ``value_uncertainties/NNNNNNNNN.npy``, float16 (y, x, channel).
"""

import io
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int, Shaped, UInt8
from PIL import Image

from labelfactory.errors import WorkError
from labelfactory.storage.exports.engine import Export, in_parallel
from labelfactory.storage.spec import DatasetSpec


def name_of(sample: int | np.integer) -> str:
    return f"{sample:09d}"


def image_png(image: UInt8[np.ndarray, "y x channel"]) -> bytes:
    """Grey images become one-channel files."""
    return _png(Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image))


def mask_png(spec: DatasetSpec, mask: UInt8[np.ndarray, "y x"]) -> bytes:
    """An indexed PNG: the pixel's value is the class id, its colour the class's."""
    picture = Image.fromarray(mask).convert("P")
    colors = [color for info in spec.classes for color in info.color]
    picture.putpalette(colors + [255] * (768 - len(colors)))
    return _png(picture)


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def read_png(data: bytes | Path) -> np.ndarray:
    """Pixels as [y, x] or [y, x, channel]; WorkError where it is no picture."""
    try:
        with Image.open(data if isinstance(data, Path) else io.BytesIO(data)) as picture:
            return np.asarray(picture)
    except OSError as error:
        raise WorkError(f"{data if isinstance(data, Path) else 'a picture'} cannot be read back: {error}") from error


def npy(values: Shaped[np.ndarray, "..."]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values, allow_pickle=False)
    return buffer.getvalue()


def read_npy(data: bytes | Path) -> np.ndarray:
    """WorkError where it is no array."""
    try:
        content = data.read_bytes() if isinstance(data, Path) else data
        return np.load(io.BytesIO(content), allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise WorkError(f"{data if isinstance(data, Path) else 'an array'} cannot be read back: {error}") from error


VALUE_FOLDERS = {"value": "values", "value_uncertainty": "value_uncertainties"}


def read_image(data: bytes | Path) -> UInt8[np.ndarray, "y x channel"]:
    pixels = read_png(data)
    return pixels[..., None] if pixels.ndim == 2 else pixels


class PngExport(Export):
    def write(self, shard: int, samples: Int[np.ndarray, "n"]) -> tuple[list[str], dict[str, Any]]:
        image, mask = self.dataset.read("image", samples), self.dataset.read("mask", samples)
        values = self._values(samples)

        def one(i: int) -> list[str]:
            name = name_of(samples[i])
            return [
                self.save(f"images/{name}.png", image_png(image[i])),
                self.save(f"masks/{name}.png", mask_png(self.spec, mask[i])),
                *(self.save(f"{folder}/{name}.npy", npy(array[i])) for folder, array in values.items()),
            ]

        files = [path for paths in in_parallel(one, len(samples)) for path in paths]
        score, seed = self.dataset.read("uncertainty_score", samples), self.dataset.read("seed", samples)
        rows = [f"{name_of(s)},{u!r},{k}" for s, u, k in zip(samples, score.tolist(), seed.tolist(), strict=True)]
        return files, {"rows": rows}

    def finish(self, notes: Iterator[dict[str, Any]]) -> list[str]:
        rows = ["name,uncertainty_score,seed", *(row for note in notes for row in note["rows"])]
        classes = [{"id": i, "name": info.name, "color": info.color} for i, info in enumerate(self.spec.classes)]
        document = {"classes": classes, "ignore_index": self.spec.ignore_index, "licence": self.spec.licence}
        if self.spec.values:
            document["values"] = [asdict(info) for info in self.spec.values]
        return [
            self.save("samples.csv", "\n".join([*rows, ""]).encode()),
            self.save("classes.json", json.dumps(document, indent=1).encode()),
        ]

    def check(self, shard: int, samples: Int[np.ndarray, "n"]) -> None:
        image, mask = self.dataset.read("image", samples), self.dataset.read("mask", samples)
        values = self._values(samples)

        def one(i: int) -> None:
            name = name_of(samples[i])
            self.same("image", samples[i], read_image(self.out / f"images/{name}.png"), image[i])
            self.same("mask", samples[i], read_png(self.out / f"masks/{name}.png"), mask[i])
            for folder, array in values.items():
                self.same(folder, samples[i], read_npy(self.out / f"{folder}/{name}.npy"), array[i])

        in_parallel(one, len(samples))

    def _values(self, samples: Int[np.ndarray, "n"]) -> dict[str, np.ndarray]:
        """Folder -> array of a store's values; empty where it has none."""
        if not self.spec.values:
            return {}
        return {folder: self.dataset.read(name, samples) for name, folder in VALUE_FOLDERS.items()}
