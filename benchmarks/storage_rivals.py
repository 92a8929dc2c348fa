"""Formats that one would pick instead of our store, each as its makers would have it used."""

import io
import tarfile
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image
from storage_format import BATCH, SHARD, Again, Batches, Format, MapFormat, Pair, persistent
from torch.utils.data import DataLoader, IterableDataset, get_worker_info


class PngFolder(MapFormat):
    title = "PNG folder"

    def write(self, data: dict[str, np.ndarray]) -> None:
        for name in ("image", "mask"):
            (self.folder / name).mkdir(parents=True)
            for i, picture in enumerate(data[name]):
                (self.folder / name / f"{i:06d}.png").write_bytes(png(picture))

    def count(self) -> int:
        return len(list((self.folder / "image").iterdir()))

    def getter(self) -> Callable[[int], Pair]:
        def one(name: str, i: int) -> np.ndarray:
            with Image.open(self.folder / name / f"{i:06d}.png") as picture:
                return np.array(picture)

        return lambda i: (one("image", i), one("mask", i))


class Memmap(MapFormat):
    title = "memmap"

    def write(self, data: dict[str, np.ndarray]) -> None:
        self.folder.mkdir()
        for name in ("image", "mask"):
            np.save(self.folder / f"{name}.npy", data[name])

    def _open(self) -> list[np.ndarray]:
        return [np.load(self.folder / f"{name}.npy", mmap_mode="r") for name in ("image", "mask")]

    def count(self) -> int:
        return len(self._open()[0])

    def getter(self) -> Callable[[int], Pair]:
        image, mask = self._open()
        return lambda i: (np.array(image[i]), np.array(mask[i]))


class Parquet(MapFormat):
    title, needs = "parquet, zstd", "pyarrow"

    def write(self, data: dict[str, np.ndarray]) -> None:
        import pyarrow
        import pyarrow.parquet

        self.folder.mkdir()
        np.save(self.folder / "shape.npy", data["image"].shape)
        columns = {name: [picture.tobytes() for picture in data[name]] for name in ("image", "mask")}
        table = pyarrow.table(columns)
        pyarrow.parquet.write_table(
            table, self.folder / "0.parquet", row_group_size=BATCH, compression="zstd", use_dictionary=False
        )

    def count(self) -> int:
        return int(np.load(self.folder / "shape.npy")[0])

    def _groups(self) -> Callable[[int], list[np.ndarray]]:
        import pyarrow.parquet

        file, shape = pyarrow.parquet.ParquetFile(self.folder / "0.parquet"), np.load(self.folder / "shape.npy")

        def read(group: int) -> list[np.ndarray]:
            table = file.read_row_group(group, use_threads=False)
            return [
                np.frombuffer(b"".join(table[name].to_pylist()), np.uint8).reshape(-1, *sizes)
                for name, sizes in (("image", shape[1:]), ("mask", shape[1:3]))
            ]

        return read

    def getter(self) -> Callable[[int], Pair]:
        read = self._groups()

        def get(i: int) -> Pair:
            image, mask = read(i // BATCH)
            return image[i % BATCH], mask[i % BATCH]

        return get

    def batches(self, shuffled: bool) -> Again:
        read, count = self._groups(), self.count()
        return Again(lambda: self._epoch(read, count, shuffled))

    def _epoch(self, read: Any, count: int, shuffled: bool) -> Batches:
        """Row groups in random order, the rows of eight of them mixed: single rows would read a group each."""
        groups, rng = np.arange(-(-count // BATCH)), np.random.default_rng(0)
        groups = rng.permutation(groups) if shuffled else groups
        for start in range(0, len(groups), 8):
            arrays = [np.concatenate(parts) for parts in zip(*map(read, groups[start : start + 8]), strict=True)]
            order = rng.permutation(len(arrays[0])) if shuffled else np.arange(len(arrays[0]))
            for first in range(0, len(order), BATCH):
                yield tuple(torch.from_numpy(values[order[first : first + BATCH]]) for values in arrays)  # type: ignore[misc]

    def loader(self, workers: int) -> Any:
        return DataLoader(_Epochs(self), batch_size=None, **persistent(workers))


class _Epochs(IterableDataset):
    """Every worker takes its part of the batches."""

    def __init__(self, form: Format) -> None:
        self.form = form
        self.opened: Again | None = None

    def __iter__(self) -> Batches:
        self.opened = self.opened or self.form.batches(True)
        info = get_worker_info()
        worker, workers = (info.id, info.num_workers) if info else (0, 1)
        return (batch for i, batch in enumerate(self.opened) if i % workers == worker)


class Lance(MapFormat):
    title, needs = "Lance", "lance"

    def write(self, data: dict[str, np.ndarray]) -> None:
        import lance
        import pyarrow

        shape = data["image"].shape
        columns = {}
        for name in ("image", "mask"):
            flat = pyarrow.array(data[name].reshape(-1))
            columns[name] = pyarrow.FixedSizeListArray.from_arrays(flat, int(np.prod(data[name].shape[1:])))
        lance.write_dataset(pyarrow.table(columns), str(self.folder))
        np.save(self.folder / "shape.npy", shape)

    def count(self) -> int:
        return int(np.load(self.folder / "shape.npy")[0])

    def _taken(self) -> Callable[[Any], list[np.ndarray]]:
        import lance

        dataset, shape = lance.dataset(str(self.folder)), np.load(self.folder / "shape.npy")

        def take(rows: Any) -> list[np.ndarray]:
            table = dataset.take(rows)
            return [
                table[name].combine_chunks().flatten().to_numpy().reshape(-1, *sizes)
                for name, sizes in (("image", shape[1:]), ("mask", shape[1:3]))
            ]

        return take

    def getter(self) -> Callable[[int], Pair]:
        take = self._taken()

        def get(i: int) -> Pair:
            image, mask = take([i])
            return image[0], mask[0]

        return get

    def batches(self, shuffled: bool) -> Again:
        take, count = self._taken(), self.count()
        return Again(lambda: self._epoch(take, count, shuffled))

    def _epoch(self, take: Any, count: int, shuffled: bool) -> Batches:
        order = np.random.default_rng(0).permutation(count) if shuffled else np.arange(count)
        for start in range(0, count, BATCH):
            yield tuple(torch.from_numpy(np.array(values)) for values in take(order[start : start + BATCH]))  # type: ignore[misc]

    def loader(self, workers: int) -> Any:
        return DataLoader(_Epochs(self), batch_size=None, **persistent(workers))


class Mds(Format):
    title, needs = "MDS raw", "streaming"
    compression: ClassVar[str | None] = None

    def write(self, data: dict[str, np.ndarray]) -> None:
        from streaming import MDSWriter

        columns = {name: "ndarray:uint8:" + ",".join(map(str, data[name].shape[1:])) for name in ("image", "mask")}
        size = SHARD * sum(data[name][0].nbytes for name in columns)
        options = {"compression": self.compression, "size_limit": size, "hashes": ["xxh64"]}
        with MDSWriter(out=str(self.folder), columns=columns, **options) as writer:
            for image, mask in zip(data["image"], data["mask"], strict=True):
                writer.write({"image": image, "mask": mask})

    def _dataset(self, shuffled: bool, validate: bool = True) -> Any:
        from streaming import StreamingDataset
        from streaming.base.util import clean_stale_shared_memory

        clean_stale_shared_memory()
        options = {"shuffle": shuffled, "batch_size": BATCH, "num_canonical_nodes": 1}
        return StreamingDataset(local=str(self.folder), validate_hash="xxh64" if self.compression else None, **options)

    def batches(self, shuffled: bool) -> Again:
        loader = DataLoader(self._dataset(shuffled), BATCH)
        return Again(lambda: ((batch["image"], batch["mask"]) for batch in loader))

    def getter(self) -> Callable[[int], Pair]:
        dataset = self._dataset(False)

        def get(i: int) -> Pair:
            sample = dataset[i]
            return sample["image"], sample["mask"]

        return get

    def loader(self, workers: int) -> Any:
        return DataLoader(self._dataset(True), BATCH, num_workers=workers, persistent_workers=workers > 0)


class MdsZstd(Mds):
    title = "MDS zstd"
    compression = "zstd"

    def fresh(self) -> None:
        """MDS unpacks a shard when it first meets it and keeps both; an epoch over a new set is what counts."""
        for path in self.folder.glob("*.mds"):
            path.unlink()


class LitData(Format):
    title, needs = "LitData", "litdata"

    def write(self, data: dict[str, np.ndarray]) -> None:
        from litdata.streaming.cache import Cache

        self.folder.mkdir()
        cache = Cache(str(self.folder), chunk_size=SHARD)
        for i, (image, mask) in enumerate(zip(data["image"], data["mask"], strict=True)):
            cache[i] = {"image": torch.from_numpy(image), "mask": torch.from_numpy(mask)}
        cache.done()
        cache.merge()

    def _dataset(self, shuffled: bool) -> Any:
        from litdata import StreamingDataset

        return StreamingDataset(str(self.folder), shuffle=shuffled)

    def loader(self, workers: int) -> Any:
        from litdata import StreamingDataLoader

        return StreamingDataLoader(
            self._dataset(True), batch_size=BATCH, num_workers=workers, persistent_workers=workers > 0
        )

    def batches(self, shuffled: bool) -> Again:
        from litdata import StreamingDataLoader

        loader = StreamingDataLoader(self._dataset(shuffled), batch_size=BATCH, num_workers=0)
        return Again(lambda: ((batch["image"], batch["mask"]) for batch in loader))

    def getter(self) -> Callable[[int], Pair]:
        dataset = self._dataset(False)

        def get(i: int) -> Pair:
            sample = dataset[i]
            return sample["image"], sample["mask"]

        return get


class WebDatasetRaw(Format):
    title, needs = "WebDataset raw", "webdataset"
    suffix: ClassVar[str] = "npy"

    def _encoded(self, picture: np.ndarray) -> bytes:
        buffer = io.BytesIO()
        np.save(buffer, picture)
        return buffer.getvalue()

    def write(self, data: dict[str, np.ndarray]) -> None:
        self.folder.mkdir()
        for start in range(0, len(data["image"]), SHARD):
            with tarfile.open(self.folder / f"{start // SHARD:06d}.tar", "w") as tar:
                for i in range(start, min(start + SHARD, len(data["image"]))):
                    for name in ("image", "mask"):
                        content = self._encoded(data[name][i])
                        entry = tarfile.TarInfo(f"{i:06d}.{name}.{self.suffix}")
                        entry.size = len(content)
                        tar.addfile(entry, io.BytesIO(content))

    def _pairs(self, shuffled: bool) -> Any:
        import webdataset

        urls = sorted(str(path) for path in self.folder.iterdir())
        source = webdataset.WebDataset(
            urls, shardshuffle=len(urls) if shuffled else False, empty_check=False, nodesplitter=None
        )
        source = source.shuffle(SHARD) if shuffled else source
        pairs = source.decode(_decoded).to_tuple(f"image.{self.suffix}", f"mask.{self.suffix}")
        return pairs.batched(BATCH, partial=True)

    def batches(self, shuffled: bool) -> Again:
        pairs = self._pairs(shuffled)
        return Again(lambda: ((torch.from_numpy(image), torch.from_numpy(mask)) for image, mask in pairs))

    def getter(self) -> Callable[[int], Pair]:
        raise NotImplementedError("tar files are read from end to end")

    def loader(self, workers: int) -> Any:
        return DataLoader(self._pairs(True), batch_size=None, **persistent(workers))


class WebDatasetPng(WebDatasetRaw):
    title, suffix = "WebDataset PNG", "png"

    def _encoded(self, picture: np.ndarray) -> bytes:
        return png(picture)


def _decoded(key: str, data: bytes) -> np.ndarray | None:
    if key.endswith(".png"):
        return np.array(Image.open(io.BytesIO(data)))
    return np.load(io.BytesIO(data)) if key.endswith(".npy") else None


def png(picture: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return buffer.getvalue()
