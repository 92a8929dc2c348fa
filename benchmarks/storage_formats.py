"""The formats that ``benchmarks/storage.py`` compares: each writes the same pictures and gives them back in four ways.

Those whose library is not installed are left out of the run, and the run says so.
"""

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from storage_format import BATCH, CLASSES, SHARD, Again, Format, Pair
from storage_rivals import (
    Lance,
    LitData,
    Mds,
    MdsZstd,
    Memmap,
    Parquet,
    PngFolder,
    WebDatasetPng,
    WebDatasetRaw,
)


class Store(Format):
    title = "our store"
    packing: ClassVar[str] = ""

    def write(self, data: dict[str, np.ndarray]) -> None:
        write_store(str(self.folder), data, image_packing=self.packing)

    def _stream(self, shuffled: bool) -> Any:
        from labelfactory.storage import open_dataset
        from labelfactory.storage.shuffle import Shuffle
        from labelfactory.storage.torch_dataset import StreamDataset

        dataset = open_dataset(str(self.folder), keep=False)
        return StreamDataset(dataset, Shuffle(enabled=shuffled), batch_size=BATCH)

    def batches(self, shuffled: bool) -> Again:
        stream = self._stream(shuffled)
        # Rows before channels as they lie in memory, as all others give them: or looking at them would copy them.
        return Again(lambda: ((batch["image"].permute(0, 2, 3, 1), batch["mask"]) for batch in stream))

    def getter(self) -> Callable[[int], Pair]:
        from labelfactory.storage import open_dataset

        dataset = open_dataset(str(self.folder), keep=False)

        def get(i: int) -> Pair:
            sample = dataset[i]
            return sample["image"], sample["mask"]

        return get

    def loader(self, workers: int) -> Any:
        from labelfactory.storage.torch_dataset import StreamLoader

        return StreamLoader(self._stream(True), workers)


class FastStore(Store):
    title, packing = "our store, fast", "fast"


class RawStore(Store):
    title, packing = "our store, raw", "raw"


class RowsStore(Store):
    title, packing = "our store, rows", "rows"


def write_store(uri: str, data: dict[str, np.ndarray], options: dict[str, Any] | None = None, **spec: Any) -> None:
    """A store of the pairs, and of uncertainty where ``data`` has it (else maps of zeros, which take no room)."""
    from labelfactory.storage import ClassInfo, DatasetSpec, create_store, finalize, sample_seeds

    count, height, width, channels = data["image"].shape
    classes = tuple(ClassInfo(f"class {i}", (40 * i, 255 - 40 * i, 128)) for i in range(CLASSES))
    fixed = {"channels": channels, "latent_dim": 512, "classes": classes, "shard_size": SHARD}
    hashes = {"generator_sha256": "0" * 64, "interpreter_sha256": "1" * 64}
    whole = DatasetSpec(count=count, height=height, width=width, **fixed, **hashes, **spec)
    with create_store(uri, whole, options) as store:
        for shard in store.claim_missing():
            start, stop = store.shard_range(shard)
            arrays = {
                "uncertainty": np.zeros((stop - start, height, width), np.float16),
                **{name: values[start:stop] for name, values in data.items()},
                "uncertainty_score": np.zeros(stop - start, np.float32),
                "latent": np.zeros((stop - start, 512), np.float32),
                "seed": sample_seeds(0, start, stop),
            }
            store.write_shard(shard, arrays)
        finalize(store)


_ALL = (
    Store,
    FastStore,
    RawStore,
    RowsStore,
    Mds,
    MdsZstd,
    LitData,
    WebDatasetRaw,
    WebDatasetPng,
    Parquet,
    Lance,
    PngFolder,
    Memmap,
)
FORMATS: dict[str, type[Format]] = {form.title: form for form in _ALL}
