"""What a store of very many shards costs: making, listing what is missing, finishing, opening, status, verifying.

    python benchmarks/shards.py --folder FOLDER [--shards 1000 10000 100000] [--only open verify] [--write PAGE]

The shards are tiny (two pictures of 4 x 4 pixels), so that what is measured is the work a shard, not the pixels. Each
step is a fresh process; told are its seconds, those of the processor, and the peak of its memory (the first row is a
process that only imports). Stores stay in FOLDER and are used again; they are laid down file by file, without the
protocol, which would flush for hours. ``resume`` makes 500 shards by the protocol that are missing all over the set.
The last columns fit processor seconds and memory of all sizes by a + b N.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # before this folder, whose storage.py hides the package

import numpy as np

from labelfactory.storage import (
    ClassInfo,
    DatasetSpec,
    ShardWriter,
    create_store,
    finalize,
    open_dataset,
    open_store,
    sample_seeds,
    verify,
)
from labelfactory.storage.records import commit_path
from labelfactory.storage.status import status

STEPS = ("import", "lay", "missing", "resume", "status", "finish", "open", "batch", "verify")
RESUMED = 500
START, END = "<!-- shards: made by benchmarks/shards.py -->", "<!-- end of shards -->"


def spec(shards: int) -> DatasetSpec:
    return DatasetSpec(
        count=2 * shards,
        shard_size=2,
        height=4,
        width=4,
        channels=1,
        latent_dim=1,
        classes=(ClassInfo("background", (0, 0, 0)), ClassInfo("nucleus", (80, 160, 255))),
        generator_sha256="ab" * 32,
        interpreter_sha256="cd" * 32,
        seed=7,
    )


def arrays(of: DatasetSpec, shard: int) -> dict[str, np.ndarray]:
    """A shard whose every sample is a function of its seed, as cheap as can be."""
    seeds = sample_seeds(of.seed, *of.shard_range(shard))
    n, bits = len(seeds), np.repeat(seeds.view(np.uint8).reshape(len(seeds), 8), 2, axis=1)
    score = (seeds >> np.uint64(40)).astype(np.float32) / 2**24
    return {
        "image": bits.reshape(n, 4, 4, 1),
        "mask": (bits & 1).reshape(n, 4, 4),
        "uncertainty": np.zeros((n, 4, 4), np.float16),
        "uncertainty_score": score,
        "seed": seeds,
        "latent": (score * 2**24)[:, None],
    }


def lay(uri: str, shards: int) -> None:
    """The files of every shard that is not there, and its record."""
    with create_store(uri, spec(shards)) as store:
        for shard in store.missing():
            record, files = store.encode(shard, arrays(store.spec, shard))
            for path, data in {**files, commit_path(shard): record.to_bytes()}.items():
                target = f"{uri}/{path}"
                os.makedirs(os.path.dirname(target), exist_ok=True)
                with open(target, "wb", buffering=0) as file:
                    file.write(data)


def resume(uri: str, missing: int) -> None:
    """As ``factory generate`` does it, with a maker of no cost."""
    with open_store(uri) as store, ShardWriter(store, threads=8) as writer:
        made = 0
        for shard in store.claim_missing():
            writer.put(shard, arrays(store.spec, shard))
            made += 1
    assert made == missing


def step(name: str, uri: str, shards: int) -> None:
    """One step, in this process."""
    if name == "lay":
        lay(uri, shards)
    elif name == "resume":
        lost = range(0, shards, shards // RESUMED)
        store = open_store(uri)
        store.backend.delete(["manifest.json", *map(commit_path, lost)])
        began, busy = time.perf_counter(), time.process_time()
        resume(uri, len(lost))
        print(json.dumps({"seconds": time.perf_counter() - began, "cpu": time.process_time() - busy}))
    elif name == "missing":
        assert open_store(uri).missing() == []
    elif name == "status":
        assert status(uri).done == shards
    elif name == "finish":
        store = open_store(uri)
        store.backend.delete(["manifest.json", *(f"keep/c/{shard}" for shard in range(shards))])
        began, busy = time.perf_counter(), time.process_time()
        finalize(store)
        print(json.dumps({"seconds": time.perf_counter() - began, "cpu": time.process_time() - busy}))
    elif name == "open":
        assert len(open_dataset(uri)) == -(-9 * 2 * shards // 10)
    elif name == "batch":  # 64 samples from all over the set
        dataset = open_dataset(uri)
        dataset.batch(np.linspace(0, len(dataset) - 1, 64).astype(np.int64))
    elif name == "verify":
        assert verify(uri).ok


def measured(name: str, uri: str, shards: int) -> dict[str, float]:
    """The step in a fresh process."""
    command = [sys.executable, __file__, "--step", name, "--folder", uri, "--shards", str(shards)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return lines[-1] | (lines[0] if len(lines) > 1 else {})


def told(found: dict[str, float]) -> str:
    return f"{found['seconds']:.2f} s (CPU {found['cpu']:.2f}), {found['mb']:.0f} MB"


def fitted(sizes: list[int], values: list[float]) -> str:
    """``a + b * shards`` by least squares of the relative errors."""
    slope, start = np.polyfit(sizes, values, 1, w=1 / np.maximum(values, 0.01))
    return f"{max(0.0, start):.1f} + {1e3 * max(0.0, slope):.3f} for each 1,000"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", required=True)
    parser.add_argument("--shards", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--only", nargs="+", choices=STEPS, default=list(STEPS))
    parser.add_argument("--write", type=Path, help="page whose table is replaced")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.step:
        began, busy = time.perf_counter(), time.process_time()
        step(given.step, given.folder, given.shards[0])
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        seconds, cpu = time.perf_counter() - began, time.process_time() - busy
        print(json.dumps({"seconds": seconds, "cpu": cpu, "mb": peak}))
        return
    Path(given.folder).mkdir(parents=True, exist_ok=True)
    kept = Path(given.folder) / "measured.json"
    results: dict[str, dict[str, dict[str, float]]] = json.loads(kept.read_text()) if kept.exists() else {}
    for name in given.only:
        for shards in given.shards:
            found = measured(name, f"{given.folder}/{shards}.zarr", shards)
            results.setdefault(name, {})[str(shards)] = found
            kept.write_text(json.dumps(results, indent=1))
            print(
                f"{name} {shards:,}: {found['seconds']:.2f} s, CPU {found['cpu']:.2f} s, {found['mb']:.0f} MB",
                flush=True,
            )
    rows = table(results, given.shards)
    print("\n".join(rows))
    if given.write:
        before, _, rest = given.write.read_text(encoding="utf-8").partition(START)
        _, end, after = rest.partition(END)
        if not end:
            sys.exit(f"{given.write} has no {START} ... {END}")
        given.write.write_text("\n".join([before + START, *rows, END + after]), encoding="utf-8")


def table(results: dict[str, dict[str, dict[str, float]]], sizes: list[int]) -> list[str]:
    head = "".join(f" {size:,} shards |" for size in sizes)
    rows = [f"| step |{head} CPU seconds | MB |", "|---|" + "---|" * (len(sizes) + 2)]
    for name in STEPS:
        found = [results[name][str(size)] for size in sizes if str(size) in results.get(name, {})]
        if len(found) < len(sizes) or name == "lay":
            continue
        cells = "".join(f" {told(one)} |" for one in found)
        fits = (fitted(sizes, [one[key] for one in found]) if len(sizes) > 1 else "" for key in ("cpu", "mb"))
        rows.append(f"| {name} |{cells} {' | '.join(fits)} |")
    return rows


if __name__ == "__main__":
    main()
