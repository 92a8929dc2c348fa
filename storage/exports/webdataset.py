"""WebDataset: one tar a shard with ``NNNNNNNNN.image.png``, ``NNNNNNNNN.mask.png`` and ``NNNNNNNNN.json``.

Where the store has values also ``NNNNNNNNN.value.npy`` and ``NNNNNNNNN.value_uncertainty.npy``: float16 (y, x,
channel).
"""

import io
import json
import tarfile
from typing import Any

import numpy as np
from jaxtyping import Int

from labelfactory.errors import WorkError
from labelfactory.storage.exports.engine import Export, in_parallel
from labelfactory.storage.exports.png import (
    VALUE_FOLDERS,
    image_png,
    mask_png,
    name_of,
    npy,
    read_image,
    read_npy,
    read_png,
)


class WebDatasetExport(Export):
    def write(self, shard: int, samples: Int[np.ndarray, "n"]) -> tuple[list[str], dict[str, Any]]:
        image, mask = self.dataset.read("image", samples), self.dataset.read("mask", samples)
        values = self._values(samples)
        score, seed = self.dataset.read("uncertainty_score", samples), self.dataset.read("seed", samples)

        def one(i: int) -> list[tuple[str, bytes]]:
            name, facts = name_of(samples[i]), {"index": int(samples[i]), "seed": int(seed[i])}
            text = json.dumps({**facts, "uncertainty_score": float(score[i])})
            return [
                (f"{name}.image.png", image_png(image[i])),
                (f"{name}.mask.png", mask_png(self.spec, mask[i])),
                (f"{name}.json", text.encode()),
                *((f"{name}.{kind}.npy", npy(array[i])) for kind, array in values.items()),
            ]

        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            for members in in_parallel(one, len(samples)):
                for name, data in members:
                    entry = tarfile.TarInfo(name)  # no time, no owner: equal content gives equal bytes
                    entry.size = len(data)
                    tar.addfile(entry, io.BytesIO(data))
        return [self.save(f"shard-{shard:06d}.tar", buffer.getvalue())], {}

    def check(self, shard: int, samples: Int[np.ndarray, "n"]) -> None:
        image, mask = self.dataset.read("image", samples), self.dataset.read("mask", samples)
        values = self._values(samples)
        path = self.out / f"shard-{shard:06d}.tar"
        try:
            with tarfile.open(path) as tar:
                members = {entry.name: tar.extractfile(entry).read() for entry in tar}  # type: ignore[union-attr]
        except (OSError, tarfile.TarError) as error:
            raise WorkError(f"{path} cannot be read back: {error}") from error
        self.same("number of files", int(samples[0]), len(members), (3 + len(values)) * len(samples))

        def one(i: int) -> None:
            name = name_of(samples[i])
            self.same("image", samples[i], read_image(members[f"{name}.image.png"]), image[i])
            self.same("mask", samples[i], read_png(members[f"{name}.mask.png"]), mask[i])
            for kind, array in values.items():
                self.same(kind, samples[i], read_npy(members[f"{name}.{kind}.npy"]), array[i])

        in_parallel(one, len(samples))

    def _values(self, samples: Int[np.ndarray, "n"]) -> dict[str, np.ndarray]:
        return {name: self.dataset.read(name, samples) for name in VALUE_FOLDERS if self.spec.values}
