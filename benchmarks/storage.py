"""Our store beside the formats that one would pick instead: writing, reading in four ways, bytes, memory, S3 traffic.

    python benchmarks/storage.py [--samples 512] [--rounds 3] [--side 256] [--pictures photographs|FOLDER]

Everything happens in one run on the same RGB pictures (crops of the two photographs that scikit-learn brings, flipped,
or of a folder's), with masks of six classes. Every stage is a process of its own on one core (two for workers); files
are warm in the page cache for all formats alike. Libraries are imported and files opened before the clock starts, but
for the first batch. PNGs are what Pillow writes by default. The best of the rounds counts. CPU time is the fairer
number on a machine that others use too.
"""

import argparse
import importlib.util
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

# This file has the package's name: without this line it would import itself.
sys.path[0] = str(Path(__file__).resolve().parents[1])
sys.path.append(str(Path(__file__).resolve().parent))

STAGES = ("write", "sequential", "shuffled", "random", "workers")


def make_data(folder: Path, samples: int, side: int, pictures: str) -> None:
    """Pictures, their brightness in six steps as masks, and nearness to a step's edge as uncertainty."""
    from scipy.ndimage import gaussian_filter

    rng, sources = np.random.default_rng(0), source_pictures(pictures, side)
    image = np.empty((samples, side, side, 3), np.uint8)
    for i in range(samples):
        photo = sources[i % len(sources)]
        y, x = rng.integers(0, photo.shape[0] - side + 1), rng.integers(0, photo.shape[1] - side + 1)
        crop = photo[y : y + side, x : x + side]
        image[i] = crop[:, ::-1] if rng.random() < 0.5 else crop
    level = np.stack([gaussian_filter(picture.mean(-1), 3) for picture in image]) / 256 * 6
    np.save(folder / "image.npy", image)
    np.save(folder / "mask.npy", level.astype(np.uint8))
    np.save(folder / "uncertainty.npy", np.exp(-(((level % 1) * 8) ** 2)).astype(np.float16))


def source_pictures(pictures: str, side: int) -> list[np.ndarray]:
    if pictures == "photographs":
        from sklearn.datasets import load_sample_images

        photos = load_sample_images().images
        wanted = max(side / min(photo.shape[:2]) for photo in photos)
        if wanted > 1:  # at 1024 px they are enlarged, with grain of their own kind on top
            size = tuple(int(np.ceil(wanted * length)) for length in photos[0].shape[1::-1])
            grain = np.random.default_rng(1).normal(0, 2, (size[1], size[0], 3))
            large = [np.asarray(Image.fromarray(photo).resize(size, Image.Resampling.BICUBIC)) for photo in photos]
            photos = [np.clip(photo + grain, 0, 255).astype(np.uint8) for photo in large]
        return list(photos)
    return [np.asarray(Image.open(path).convert("RGB")) for path in sorted(Path(pictures).iterdir())]


def load_data(folder: Path) -> dict[str, np.ndarray]:
    return {name: np.load(folder / f"{name}.npy") for name in ("image", "mask")}


class Clock:
    """Wall and CPU seconds (of child processes too) from its making on."""

    def __init__(self) -> None:
        self.wall, self.cpu = time.perf_counter(), self._used()

    @staticmethod
    def _used() -> float:
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return time.process_time() + children.ru_utime + children.ru_stime

    def stop(self) -> dict[str, float]:
        return {"seconds": time.perf_counter() - self.wall, "cpu_seconds": self._used() - self.cpu}


def consume(batches: Any, samples: int) -> None:
    """Reads an epoch of (image, mask) batches; touches every picture so that nothing is lazy."""
    seen = 0
    for image, mask in batches:
        seen += len(image)
        assert int(image.reshape(len(image), -1)[:, ::4096].sum()) + int(mask.reshape(len(mask), -1)[:, 0].sum()) >= 0
    assert seen == samples, (seen, samples)


def run_stage(name: str, title: str, folder: Path, samples: int) -> dict[str, float]:
    """In a process of its own. Memory is what the stage adds to what it was given."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, set(cores[-2:] if name == "workers" else cores[-1:]))
    import torch
    from storage_formats import FORMATS

    torch.set_num_threads(1)
    form = FORMATS[title](folder / title.replace(" ", "_").replace(",", ""))
    if name == "write":
        shutil.rmtree(form.folder, ignore_errors=True)
        data = load_data(folder)
        data = {key: values.copy() for key, values in data.items()}
    elif form.folder.exists():
        form.fresh()
        for path in form.folder.rglob("*"):
            if path.is_file():
                path.read_bytes()
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts from here
    before = memory_kB("VmRSS")
    if name == "write":
        clock = Clock()
        form.write(data)
        found = clock.stop()
    elif name in ("sequential", "shuffled"):
        batches, found = form.batches(name == "shuffled"), {}
        for _ in range(3):  # the first epoch opens files and imports what is left
            form.fresh()
            clock = Clock()
            consume(batches, samples)
            found = {key: min(value, found.get(key, value)) for key, value in clock.stop().items()}
    elif name == "random":
        get = form.getter()
        order = np.random.default_rng(0).permutation(samples)
        get(0)
        clock = Clock()
        for i in order:
            get(int(i))
        found = clock.stop()
    else:
        found = with_workers(form, samples)
    return {**found, "added_MB": (memory_kB("VmHWM") - before) / 1024}


def with_workers(form: Any, samples: int) -> dict[str, float]:
    """Two workers: seconds from making the loader to the first batch, and the second epoch's time."""
    clock = Clock()
    loader = form.loader(2)
    iterator = iter(loader)
    next(iterator)
    first = clock.stop()["seconds"]
    for _ in iterator:
        pass
    clock, seen = Clock(), 0
    for batch in loader:
        seen += len(next(iter(batch.values())) if isinstance(batch, dict) else batch[0])
    assert seen >= samples * 0.9, (seen, samples)
    return {**clock.stop(), "first_batch": first}


def memory_kB(field: str) -> int:
    """Memory of this process, as Linux counts it (getrusage would also count what came before exec)."""
    text = Path("/proc/self/status").read_text()
    return int(text.split(f"{field}:")[1].split()[0])


def in_process(name: str, title: str, folder: Path, samples: int) -> dict[str, Any]:
    command = [sys.executable, __file__, "--stage", name, "--format", title]
    command += ["--folder", str(folder), "--samples", str(samples)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    if done.returncode:
        return {"failed": (done.stderr.strip().splitlines() or ["no reason was given"])[-1]}
    return json.loads(done.stdout.splitlines()[-1])


def s3_traffic(folder: Path) -> dict[str, float]:
    """Requests and bytes a sample, counted by a proxy before a real S3 server (moto)."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from storage_format import BATCH
    from storage_formats import write_store
    from storage_servers import s3_server

    from labelfactory.storage import open_dataset
    from labelfactory.storage.torch_dataset import StreamDataset

    data = load_data(folder)
    samples, uri = len(data["image"]), "s3://bucket/store"
    with s3_server() as (proxy, options):
        write_store(uri, data, options)
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


def main(samples: int, rounds: int, side: int, pictures: str, only: list[str]) -> None:
    from storage_formats import FORMATS

    titles = [title for title, form in FORMATS.items() if not only or title in only]
    for title in [title for title in titles if FORMATS[title].needs]:
        if importlib.util.find_spec(FORMATS[title].needs) is None:
            print(f"{title}: left out, {FORMATS[title].needs} is not installed")
            titles.remove(title)
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent)
        make_data(folder, samples, side, pictures)
        best: dict[str, dict[str, dict[str, Any]]] = {title: {} for title in titles}
        sizes = {}
        for number in range(rounds):
            for name in STAGES:
                for title in titles:  # side by side, so that all meet the same neighbours on the machine
                    if "failed" in best[title].get(name, {}):
                        continue
                    found = in_process(name, title, folder, samples)
                    if "failed" in found:
                        best[title][name] = found
                        continue
                    now = best[title].get(name, found)
                    best[title][name] = {key: min(value, now[key]) for key, value in found.items()}
                    if name == "write" and number == 0:
                        sizes[title] = size_of(folder / title.replace(" ", "_").replace(",", "")) / samples / 1e3
        traffic = s3_traffic(folder) if importlib.util.find_spec("moto") else {}
    print(f"CPU ms a sample, best of {rounds}; {samples} pairs of {side} px, {pictures}")
    head = ("write", "sequential", "shuffled", "random", "first batch s", "2 workers /s", "kB", "MB added")
    print(f"| {'':<15}|" + "|".join(f" {text} " for text in head) + "|")
    for title in titles:
        found = best[title]
        measured = [found[name].get("cpu_seconds") for name in STAGES[:4]]
        cells = ["–" if seconds is None else f"{1e3 * seconds / samples:.2f}" for seconds in measured]
        workers = found["workers"]
        if "seconds" in workers:
            cells += [f"{workers['first_batch']:.1f}", f"{samples / workers['seconds']:.0f}"]
        else:
            cells += ["–", "–"]
        cells += [f"{sizes.get(title, 0):.0f}", f"{found['shuffled'].get('added_MB', 0):.0f}"]
        print(f"| {title:<15}|" + "|".join(f" {cell} " for cell in cells) + "|")
    for title in titles:
        for name, found in best[title].items():
            if "failed" in found:
                print(f"{title}, {name}: {found['failed']}")
    print("S3:", ", ".join(f"{name.replace('_', ' ')} {value:.3g}" for name, value in traffic.items()))
    print(json.dumps({"kB_per_sample": sizes, "s3": traffic, "stages": best}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--pictures", default="photographs")
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--stage")
    parser.add_argument("--format")
    parser.add_argument("--folder", type=Path)
    asked = parser.parse_args()
    if asked.stage:
        print(json.dumps(run_stage(asked.stage, asked.format, asked.folder, asked.samples)))
    else:
        main(asked.samples, asked.rounds, asked.side, asked.pictures, asked.only)
