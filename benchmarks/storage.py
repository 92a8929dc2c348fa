"""Our store beside the formats that one would pick instead: writing, shuffled reading, memory, and S3 traffic.

    python benchmarks/storage.py [--samples 512] [--rounds 3]

Everything happens in one run on the same 256 px RGB photographs (crops of the two that scikit-learn brings, flipped),
masks of six classes and uncertainty maps. Every stage is a process of its own that may use one core; files are warm in
the page cache for all formats alike. PNGs are what Pillow writes by default. The best of the rounds counts.
CPU time is the fairer number on a machine that others use too; wall time has the flushing to disk as well.
"""

import argparse
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

# This file has the package's name: without this line it would import itself.
sys.path[0] = str(Path(__file__).resolve().parents[1])

SIDE, CLASSES, SHARD, BATCH = 256, 6, 256, 32


def make_data(folder: Path, samples: int) -> None:
    """Photographs, their brightness in six steps as masks, and nearness to a step's edge as uncertainty."""
    from scipy.ndimage import gaussian_filter
    from sklearn.datasets import load_sample_images

    rng, photos = np.random.default_rng(0), load_sample_images().images
    image = np.empty((samples, SIDE, SIDE, 3), np.uint8)
    for i in range(samples):
        photo = photos[i % len(photos)]
        y, x = rng.integers(0, photo.shape[0] - SIDE), rng.integers(0, photo.shape[1] - SIDE)
        crop = photo[y : y + SIDE, x : x + SIDE]
        image[i] = crop[:, ::-1] if rng.random() < 0.5 else crop
    level = np.stack([gaussian_filter(picture.mean(-1), 3) for picture in image]) / 256 * CLASSES
    np.save(folder / "image.npy", image)
    np.save(folder / "mask.npy", level.astype(np.uint8))
    np.save(folder / "uncertainty.npy", np.exp(-(((level % 1) * 8) ** 2)).astype(np.float16))


def load_data(folder: Path) -> dict[str, np.ndarray]:
    return {name: np.load(folder / f"{name}.npy") for name in ("image", "mask", "uncertainty")}


def the_spec(samples: int) -> Any:
    from labelfactory.storage import ClassInfo, DatasetSpec

    classes = tuple(ClassInfo(f"class {i}", (40 * i, 255 - 40 * i, 128)) for i in range(CLASSES))
    return DatasetSpec(
        count=samples,
        shard_size=SHARD,
        height=SIDE,
        width=SIDE,
        channels=3,
        latent_dim=512,
        classes=classes,
        generator_sha256="0" * 64,
        interpreter_sha256="1" * 64,
    )


def png(picture: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return buffer.getvalue()


class Clock:
    """Wall and CPU seconds between start and stop, without imports and opening."""

    def __init__(self) -> None:
        self.wall, self.cpu = time.perf_counter(), time.process_time()

    def stop(self) -> tuple[float, float]:
        return time.perf_counter() - self.wall, time.process_time() - self.cpu


# Stages


def write_store(
    folder: Path, data: dict[str, np.ndarray], uri: str = "", options: dict | None = None
) -> tuple[float, float]:
    from labelfactory.storage import create_store, finalize, sample_seeds

    spec, count = the_spec(len(data["image"])), len(data["image"])
    latent = np.random.default_rng(1).standard_normal((count, 512), dtype=np.float32)
    score = data["uncertainty"].reshape(count, -1)[:, ::16].astype(np.float32).mean(axis=1)
    clock = Clock()
    with create_store(uri or str(folder / "store"), spec, options) as store:
        for shard in store.claim_missing():
            part = slice(*store.shard_range(shard))
            arrays = {name: values[part] for name, values in data.items()}
            seeds = sample_seeds(0, part.start, part.stop)
            store.write_shard(
                shard, {**arrays, "uncertainty_score": score[part], "latent": latent[part], "seed": seeds}
            )
        finalize(store)
    return clock.stop()


def write_png(folder: Path, data: dict[str, np.ndarray], uncertainty: bool = True) -> tuple[float, float]:
    """Image, mask and, as 16-bit grey, uncertainty: the same data as the store's maps."""
    names = ("image", "mask", "uncertainty") if uncertainty else ("image", "mask")
    clock = Clock()
    for name in names:
        (folder / "png" / name).mkdir(parents=True, exist_ok=True)
    for i in range(len(data["image"])):
        for name in names:
            values = data[name][i]
            values = values.view(np.uint16) if name == "uncertainty" else values
            (folder / "png" / name / f"{i:06d}.png").write_bytes(png(values))
    return clock.stop()


def write_pairs(folder: Path, data: dict[str, np.ndarray]) -> tuple[float, float]:
    return write_png(folder, data, uncertainty=False)


def write_webdataset(folder: Path, data: dict[str, np.ndarray]) -> tuple[float, float]:
    clock = Clock()
    (folder / "wds").mkdir(exist_ok=True)
    for start in range(0, len(data["image"]), SHARD):
        with tarfile.open(folder / "wds" / f"{start // SHARD:06d}.tar", "w") as tar:
            for i in range(start, min(start + SHARD, len(data["image"]))):
                for name in ("image", "mask"):
                    content = png(data[name][i])
                    entry = tarfile.TarInfo(f"{i:06d}.{name}.png")
                    entry.size = len(content)
                    tar.addfile(entry, io.BytesIO(content))
    return clock.stop()


def consume(batches: Any, samples: int) -> tuple[float, float]:
    """Reads an epoch of (image, mask) uint8 batches; touches every batch so that nothing is lazy."""
    clock, seen, total = Clock(), 0, 0
    for image, mask in batches:
        seen += len(image)
        total += int(image[:, 0, 0, 0].sum()) + int(mask[:, 0, 0].sum())
    seconds = clock.stop()
    assert seen == samples, (seen, samples)
    return seconds


def read_store(folder: Path, samples: int) -> tuple[float, float]:
    from labelfactory.storage import open_dataset
    from labelfactory.storage.torch_dataset import StreamDataset

    dataset = open_dataset(str(folder / "store"), keep=False)
    stream = StreamDataset(dataset, batch_size=BATCH)
    return consume(((batch["image"], batch["mask"]) for batch in stream), samples)


def read_png(folder: Path, samples: int) -> tuple[float, float]:
    import torch

    def one(path: Path) -> np.ndarray:
        with Image.open(path) as picture:
            return np.array(picture)

    def batches() -> Any:
        order = np.random.default_rng(0).permutation(samples)
        for start in range(0, samples, BATCH):
            part = order[start : start + BATCH]
            image = np.stack([one(folder / f"png/image/{i:06d}.png") for i in part])
            mask = np.stack([one(folder / f"png/mask/{i:06d}.png") for i in part])
            yield torch.from_numpy(image), torch.from_numpy(mask)

    return consume(batches(), samples)


def read_webdataset(folder: Path, samples: int) -> tuple[float, float]:
    import torch
    import webdataset

    def decode(key: str, data: bytes) -> np.ndarray | None:
        return np.array(Image.open(io.BytesIO(data))) if key.endswith(".png") else None

    urls = sorted(str(path) for path in (folder / "wds").iterdir())
    source = webdataset.WebDataset(urls, shardshuffle=len(urls), empty_check=False).shuffle(SHARD)
    pairs = source.decode(decode).to_tuple("image.png", "mask.png").batched(BATCH, partial=True)
    return consume(((torch.from_numpy(image), torch.from_numpy(mask)) for image, mask in pairs), samples)


WRITERS: dict[str, Callable[..., tuple[float, float]]] = {
    "write store": write_store,
    "write png": write_png,
    "write png pairs": write_pairs,
    "write webdataset": write_webdataset,
}
READERS: dict[str, Callable[..., tuple[float, float]]] = {
    "read store": read_store,
    "read png": read_png,
    "read webdataset": read_webdataset,
}


def run_stage(name: str, folder: Path, samples: int) -> dict[str, float]:
    """In a process of its own, on one core. Memory is what the stage adds to what it was given."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[-1]})
    import torch

    torch.set_num_threads(1)
    data = load_data(folder) if name in WRITERS else {}
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts from here
    before = memory_kB("VmRSS")
    seconds, cpu = WRITERS[name](folder, data) if name in WRITERS else READERS[name](folder, samples)
    return {"seconds": seconds, "cpu_seconds": cpu, "added_MB": (memory_kB("VmHWM") - before) / 1024}


def memory_kB(field: str) -> int:
    """Memory of this process, as Linux counts it (getrusage would also count what came before exec)."""
    text = Path("/proc/self/status").read_text()
    return int(text.split(f"{field}:")[1].split()[0])


def in_process(name: str, folder: Path, samples: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--stage", name, "--folder", str(folder), "--samples", str(samples)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def s3_traffic(folder: Path) -> dict[str, float]:
    """Requests and bytes a sample, counted by a proxy before a real S3 server (moto)."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from storage_servers import s3_server

    from labelfactory.storage import open_dataset
    from labelfactory.storage.torch_dataset import StreamDataset

    data = load_data(folder)
    samples, uri = len(data["image"]), "s3://bucket/store"
    with s3_server() as (proxy, options):
        write_store(folder, data, uri, options)
        written = len(proxy.requests)
        dataset = open_dataset(uri, keep=False, storage_options=options)
        opened, sent = len(proxy.requests), proxy.bytes_sent
        consume(((b["image"], b["mask"]) for b in StreamDataset(dataset, batch_size=BATCH)), samples)
        return {
            "write_requests_per_sample": written / samples,
            "open_requests": opened - written,
            "read_requests_per_sample": (len(proxy.requests) - opened) / samples,
            "read_bytes_per_sample": (proxy.bytes_sent - sent) / samples,
            "raw_bytes_per_sample": data["image"][0].nbytes + data["mask"][0].nbytes,
        }


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main(samples: int, rounds: int) -> None:
    import shutil

    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent)
        make_data(folder, samples)
        best: dict[str, dict[str, float]] = {}
        for _ in range(rounds):
            for name in (*WRITERS, *READERS):
                if name in WRITERS:
                    made = {"store": "store", "png": "png", "png pairs": "png", "webdataset": "wds"}[name[6:]]
                    shutil.rmtree(folder / made, ignore_errors=True)
                found = in_process(name, folder, samples)
                # Each number by itself: another process may have disturbed the wall clock but not the CPU's.
                best[name] = {key: min(value, best.get(name, found)[key]) for key, value in found.items()}
        sizes = {name: size_of(folder / name) / samples / 1e3 for name in ("store", "png", "wds")}
        traffic = s3_traffic(folder)
    print(f"{'stage':<18}{'wall ms':>9}{'CPU ms':>9}{'added MB':>10}   (a sample, best of {rounds})")
    for name, found in best.items():
        wall, cpu = (1e3 * found[key] / samples for key in ("seconds", "cpu_seconds"))
        print(f"{name:<18}{wall:>9.2f}{cpu:>9.2f}{found['added_MB']:>10.0f}")

    ratios = {}
    for title, slow, fast in (
        ("write: a PNG folder of the same data", "write png", "write store"),
        ("write: a PNG folder without the uncertainty maps", "write png pairs", "write store"),
        ("write: WebDataset without the uncertainty maps", "write webdataset", "write store"),
        ("block-shuffled read: a PNG folder", "read png", "read store"),
        ("block-shuffled read: WebDataset PNG shards", "read webdataset", "read store"),
    ):
        ratios[title] = {key: best[slow][key] / best[fast][key] for key in ("seconds", "cpu_seconds")}
        print(f"{title:<50} takes {ratios[title]['cpu_seconds']:5.1f}x the CPU time", end="")
        print(f" and {ratios[title]['seconds']:5.1f}x the wall time of the store")
    print("kB a sample:", ", ".join(f"{name} {size:.0f}" for name, size in sizes.items()), "(wds: image and mask only)")
    print("S3:", ", ".join(f"{name.replace('_', ' ')} {value:.3g}" for name, value in traffic.items()))
    print(json.dumps({"ratios": ratios, "kB_per_sample": sizes, "s3": traffic, "stages": best}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--stage")
    parser.add_argument("--folder", type=Path)
    asked = parser.parse_args()
    if asked.stage:
        print(json.dumps(run_stage(asked.stage, asked.folder, asked.samples)))
    else:
        main(asked.samples, asked.rounds)
