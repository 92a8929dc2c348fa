"""Parquet as Hugging Face's ``datasets`` writes it: ``image`` and ``mask`` open as Image features without a script."""

import io
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Int

from labelfactory.errors import WorkError
from labelfactory.storage.exports.engine import Export, in_parallel
from labelfactory.storage.exports.png import image_png, mask_png, name_of, read_image, read_png

_PICTURE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
_FEATURES = {
    "image": {"_type": "Image"},
    "mask": {"_type": "Image"},
    "index": {"dtype": "int64", "_type": "Value"},
    "seed": {"dtype": "uint64", "_type": "Value"},
    "uncertainty_score": {"dtype": "float32", "_type": "Value"},
}
SCHEMA = pa.schema(
    [
        ("image", _PICTURE),
        ("mask", _PICTURE),
        ("index", pa.int64()),
        ("seed", pa.uint64()),
        ("uncertainty_score", pa.float32()),
    ],
    metadata={"huggingface": json.dumps({"info": {"features": _FEATURES}})},
)
ROWS_PER_GROUP = 100  # what a reader must hold at once


class ParquetExport(Export):
    def write(self, shard: int, samples: Int[np.ndarray, "n"]) -> tuple[list[str], dict[str, Any]]:
        image, mask = self.dataset.read("image", samples), self.dataset.read("mask", samples)
        names = [f"{name_of(sample)}.png" for sample in samples]
        images = in_parallel(lambda i: {"bytes": image_png(image[i]), "path": names[i]}, len(samples))
        masks = in_parallel(lambda i: {"bytes": mask_png(self.spec, mask[i]), "path": names[i]}, len(samples))
        score, seed = self.dataset.read("uncertainty_score", samples), self.dataset.read("seed", samples)
        table = pa.table([pa.array(images, _PICTURE), pa.array(masks, _PICTURE), samples, seed, score], schema=SCHEMA)
        buffer = io.BytesIO()
        # Pictures are compressed already: trying again only costs time.
        pq.write_table(table, buffer, row_group_size=ROWS_PER_GROUP, compression="none")
        return [self.save(f"data/train-{shard:06d}.parquet", buffer.getvalue())], {}

    def finish(self, notes: Iterator[dict[str, Any]]) -> list[str]:
        for _ in notes:
            continue
        classes = "\n".join(f"- {i}: {info.name}" for i, info in enumerate(self.spec.classes))
        card = (
            f"---\nlicense: {self.spec.licence.lower()}\ntask_categories:\n- image-segmentation\n---\n\n"
            f"# {len(self.dataset):,} generated image-label pairs\n\nMasks hold class ids "
            f"({self.spec.ignore_index} is unlabelled):\n\n{classes}\n\nGenerator sha256 {self.spec.generator_sha256}, "
            f"interpreter sha256 {self.spec.interpreter_sha256}, seed {self.spec.seed}, "
            f"truncation {self.spec.truncation}.\n"
        )
        return [self.save("README.md", card.encode())]

    def check(self, shard: int, samples: Int[np.ndarray, "n"]) -> None:
        image, mask = self.dataset.read("image", samples), self.dataset.read("mask", samples)
        path = self.out / f"data/train-{shard:06d}.parquet"
        try:
            columns = pq.read_table(path).to_pydict()
        except (OSError, pa.ArrowException) as error:
            raise WorkError(f"{path} cannot be read back: {error}") from error
        self.same("list of indices", int(samples[0]), columns["index"], samples)
        self.same("seeds", int(samples[0]), columns["seed"], self.dataset.read("seed", samples))

        def one(i: int) -> None:
            self.same("image", samples[i], read_image(columns["image"][i]["bytes"]), image[i])
            self.same("mask", samples[i], read_png(columns["mask"][i]["bytes"]), mask[i])

        in_parallel(one, len(samples))
