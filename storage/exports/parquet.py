"""Parquet as Hugging Face's ``datasets`` writes it: ``image`` and ``mask`` open as Image features without a script.

So does ``instance`` (16-bit PNG); uncertainty, values, key points and the like are nested lists of numbers.
"""

import io
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Int, Shaped

from labelfactory.errors import WorkError
from labelfactory.storage.arrays import ArraySpec
from labelfactory.storage.dataset import Dataset
from labelfactory.storage.exports.encodings import (
    encode_map,
    image_png,
    map_suffix,
    name_of,
    read_image,
    read_png,
)
from labelfactory.storage.exports.engine import Export, in_parallel
from labelfactory.storage.exports.facts import description, is_fact, is_map

PICTURE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
ROWS_PER_GROUP = 100  # what a reader must hold at once


class ParquetExport(Export):
    layout = 2
    mask_styles = True

    def __init__(self, dataset: Dataset, out: Path, masks: str = "grey") -> None:
        super().__init__(dataset, out, masks)
        self.arrays = [array for array in self.spec.arrays() if self.holds(array)]

    def holds(self, array: ArraySpec) -> bool:
        return array.name in ("image", "mask") or is_map(array) or is_fact(array)

    def write(self, shard: int, samples: Int[np.ndarray, "n"]) -> tuple[list[str], dict[str, Any]]:
        names = [f"{name_of(sample)}.png" for sample in samples]
        columns = {"index": pa.array(samples)}
        for array in self.arrays:
            values = self.dataset.read(array.name, samples)
            if is_picture(array):
                encoded = in_parallel(partial(self._picture, array, values), len(samples))
                cells = [{"bytes": data, "path": name} for data, name in zip(encoded, names, strict=True)]
                columns[array.name] = pa.array(cells, PICTURE)
            else:
                columns[array.name] = nested(values)
        table = pa.table(columns)
        features = {"index": {"dtype": "int64", "_type": "Value"}} | {a.name: feature(a) for a in self.arrays}
        about = {"huggingface": json.dumps({"info": {"features": features}})}
        buffer = io.BytesIO()
        # Pictures are compressed already: trying again only costs time.
        codecs = {column: "none" if picture else "zstd" for column, picture in leaves(table)}
        pq.write_table(table.replace_schema_metadata(about), buffer, row_group_size=ROWS_PER_GROUP, compression=codecs)
        return [self.save(f"data/train-{shard:06d}.parquet", buffer.getvalue())], {}

    def _picture(self, array: ArraySpec, values: Shaped[np.ndarray, "n y x *channel"], i: int) -> bytes:
        if array.name == "image":
            return image_png(values[i])
        return self.masks.encode(values[i]) if array.name == "mask" else encode_map(values[i])[1]

    def finish(self, notes: Iterator[dict[str, Any]]) -> list[str]:
        classes = "\n".join(f"- {i}: {info.name}" for i, info in enumerate(self.spec.classes))
        card = (
            f"---\nlicense: {self.spec.licence.lower()}\ntask_categories:\n- image-segmentation\n---\n\n"
            f"# {len(self.dataset):,} generated image-label pairs\n\nMasks hold class ids "
            f"({self.spec.ignore_index} is unlabelled):\n\n{classes}\n\nGenerator sha256 {self.spec.generator_sha256}, "
            f"interpreter sha256 {self.spec.interpreter_sha256}, seed {self.spec.seed}, "
            f"truncation {self.spec.truncation}.\n"
        )
        document = description(self.spec, self.masks)
        return [
            self.save("README.md", card.encode()),
            self.save("classes.json", json.dumps(document, indent=1, ensure_ascii=False).encode()),
        ]

    def check(self, shard: int, samples: Int[np.ndarray, "n"]) -> None:
        path = self.out / f"data/train-{shard:06d}.parquet"
        try:
            table = pq.read_table(path)
        except (OSError, pa.ArrowException) as error:
            raise WorkError(f"{path} cannot be read back: {error}") from error
        first = int(samples[0])
        self.same("list of indices", first, table["index"].to_numpy(), samples)
        for array in self.arrays:
            values = self.dataset.read(array.name, samples)
            if not is_picture(array):
                self.same(array.name, first, unnested(table[array.name], values), values)
                continue
            cells = table[array.name].combine_chunks().field("bytes")

            def one(i: int, array: ArraySpec = array, values: np.ndarray = values, cells: Any = cells) -> None:
                data = cells[i].as_py()
                back = read_image(data) if array.name == "image" else read_png(data)
                stored = self.masks.as_read(values[i]) if array.name == "mask" else values[i]
                self.same(array.name, samples[i], back, stored)

            in_parallel(one, len(samples))


def is_picture(array: ArraySpec) -> bool:
    return array.name in ("image", "mask") or (is_map(array) and map_suffix(array.dtype, array.dims) == "png")


def feature(array: ArraySpec) -> dict[str, Any]:
    """The array as ``datasets`` describes a column."""
    if is_picture(array):
        return {"_type": "Image"}
    described: dict[str, Any] = {"dtype": array.dtype, "_type": "Value"}
    for _ in array.sample_shape:
        described = {"feature": described, "_type": "Sequence"}  # newer releases call it List and know both words
    return described


def nested(values: Shaped[np.ndarray, "n ..."]) -> pa.Array:
    """One list a dimension beyond the first, without a Python object for each number."""
    array = pa.array(values.reshape(-1))
    for length in reversed(values.shape[1:]):
        offsets = np.arange(0, len(array) + 1, length, dtype=np.int32)
        array = pa.ListArray.from_arrays(offsets, array)
    return array


def unnested(column: pa.ChunkedArray, like: Shaped[np.ndarray, "n ..."]) -> np.ndarray:
    """The inverse of ``nested`` for lists of the lengths that ``like`` has; other lengths give another shape."""
    array = column.combine_chunks()
    for _ in like.shape[1:]:
        array = array.flatten()
    flat = array.to_numpy(zero_copy_only=False)
    return flat.reshape(like.shape) if flat.size == like.size else flat


def leaves(table: pa.Table) -> Iterator[tuple[str, bool]]:
    """Path of each of a file's columns, and whether it belongs to a picture."""
    for field in table.schema:
        path, kind = field.name, field.type
        if kind == PICTURE:
            yield from ((f"{path}.{child.name}", True) for child in kind)
            continue
        while pa.types.is_list(kind):
            path, kind = f"{path}.list.element", kind.value_type
        yield path, False
