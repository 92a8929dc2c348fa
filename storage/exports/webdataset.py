"""WebDataset: one tar a shard with ``NNNNNNNNN.image.png``, ``NNNNNNNNN.mask.png`` and ``NNNNNNNNN.json``.

Per-pixel arrays have a member each: ``instance.png`` (16 bit), ``uncertainty.npy``, ``value.npy`` and
``value_uncertainty.npy`` (float16). The JSON has index, seed (text), score, key points and the like; ``classes.yaml``
beside the tars says what the numbers mean.
"""

import io
import json
import tarfile
from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Int

from labelfactory.errors import WorkError
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
from labelfactory.storage.exports.facts import description, facts, is_fact, is_map, maps


class WebDatasetExport(Export):
    layout = 2
    mask_styles = True

    def holds(self, array: ArraySpec) -> bool:
        return array.name in ("image", "mask") or is_map(array) or is_fact(array)

    def write(self, shard: int, samples: Int[np.ndarray, "n"]) -> tuple[list[str], dict[str, Any]]:
        image, mask = self.dataset.read("image", samples), self.dataset.read("mask", samples)
        others = {array.name: self.dataset.read(array.name, samples) for array in maps(self.spec)}
        rows = facts(self.dataset, samples)

        def one(i: int) -> list[tuple[str, bytes]]:
            name = name_of(samples[i])
            members = [
                (f"{name}.image.png", image_png(image[i])),
                (f"{name}.mask.png", self.masks.encode(mask[i])),
                (f"{name}.json", json.dumps(rows[i]).encode()),
            ]
            for kind, array in others.items():
                suffix, data = encode_map(array[i])
                members.append((f"{name}.{kind}.{suffix}", data))
            return members

        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            for members in in_parallel(one, len(samples)):
                for name, data in members:
                    entry = tarfile.TarInfo(name)  # no time, no owner: equal content gives equal bytes
                    entry.size = len(data)
                    tar.addfile(entry, io.BytesIO(data))
        return [self.save(f"shard-{shard:06d}.tar", buffer.getvalue())], {}

    def finish(self, notes: Iterator[dict[str, Any]]) -> list[str]:
        # JSON is YAML; a file called .json beside a single tar is what datasets would take for the data.
        document = description(self.spec, self.masks)
        return [self.save("classes.yaml", json.dumps(document, indent=1, ensure_ascii=False).encode())]

    def check(self, shard: int, samples: Int[np.ndarray, "n"]) -> None:
        image, mask = self.dataset.read("image", samples), self.dataset.read("mask", samples)
        others = [
            (f"{a.name}.{map_suffix(a.dtype, a.dims)}", self.dataset.read(a.name, samples)) for a in maps(self.spec)
        ]
        rows = facts(self.dataset, samples)
        path = self.out / f"shard-{shard:06d}.tar"
        try:
            with tarfile.open(path) as tar:
                members = {entry.name: tar.extractfile(entry).read() for entry in tar}  # type: ignore[union-attr]
        except (OSError, tarfile.TarError) as error:
            raise WorkError(f"{path} cannot be read back: {error}") from error
        self.same("number of files", int(samples[0]), len(members), (3 + len(others)) * len(samples))

        def one(i: int) -> None:
            name = name_of(samples[i])
            self.same("image", samples[i], read_image(members[f"{name}.image.png"]), image[i])
            self.same("mask", samples[i], read_png(members[f"{name}.mask.png"]), self.masks.as_read(mask[i]))
            self.same("JSON", samples[i], json.loads(members[f"{name}.json"]) == rows[i], True)
            for ending, array in others:
                suffix = ending.rpartition(".")[2]
                self.same(ending, samples[i], decode_map(suffix, members[f"{name}.{ending}"]), array[i])

        in_parallel(one, len(samples))
