"""Pairs made while something learns from them, against reading the same pairs from a store, in one run.

    python benchmarks/live.py [--pairs 256] [--generator builtin:nuclei64] [--interpreter FILE] [--device auto]

The store is made by ``generate`` from the same models and seed, so both give the same pairs (compared byte for byte).
Reading is shuffled and from the page cache; the best of three epochs counts. CPU time is of this process, the fairer
number on a machine that others use too.
"""

import argparse
import tempfile
import time
from collections.abc import Iterable

import torch

from labelfactory.factory import Order, live, prepare, produce
from labelfactory.storage import open_dataset
from labelfactory.storage.shuffle import Shuffle
from labelfactory.storage.torch_dataset import StreamDataset

BATCH = 32


def timed(batches: Iterable[dict[str, torch.Tensor]]) -> tuple[float, float, float]:
    """Seconds to the first batch, seconds of all, CPU seconds."""
    began, busy, first = time.perf_counter(), time.process_time(), 0.0
    for batch in batches:
        first = first or time.perf_counter() - began
        del batch
    return first, time.perf_counter() - began, time.process_time() - busy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=256)
    parser.add_argument("--generator", default="builtin:nuclei64")
    parser.add_argument(
        "--interpreter", help="default: trained from the generator's own labels, or taken from the cache"
    )
    parser.add_argument("--device", default="auto")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        order = Order(
            generator=asked.generator, interpreter=asked.interpreter, out=f"{folder}/store", count=asked.pairs,
            device=asked.device,
        )  # fmt: skip
        job = prepare(order)
        began, busy = time.perf_counter(), time.process_time()
        produce(job, progress=False)
        rows = [("generate, into a store", 0.0, time.perf_counter() - began, time.process_time() - busy)]
        options = {"count": asked.pairs, "batch_size": BATCH, "device": asked.device}
        options["truncation"] = job.spec.truncation  # that of the labels; an interpreter's file does not tell
        for name, keep in (("live, all pairs", False), ("live, running quantile", True)):
            rows.append((name, *timed(live(asked.generator, job.interpreter, keep=keep, **options))))
        dataset = open_dataset(f"{folder}/store", keep=False)
        stream = StreamDataset(dataset, Shuffle(), batch_size=BATCH)
        rows.append(("read from the store, shuffled", *min((timed(stream) for _ in range(3)), key=lambda row: row[2])))
        stored = StreamDataset(dataset, Shuffle(enabled=False), batch_size=BATCH)
        made = live(asked.generator, job.interpreter, keep=False, **options)
        equal = all(torch.equal(a[name], b[name]) for a, b in zip(stored, made, strict=True) for name in a)
        height, width = job.spec.height, job.spec.width
    print(f"{asked.pairs} pairs of {height} x {width} px, torch {torch.__version__}, {torch.get_num_threads()} threads")
    print("| | pairs/s | pairs per CPU second | first batch s |\n|---|---:|---:|---:|")
    for name, first, seconds, busy in rows:
        print(f"| {name} | {asked.pairs / seconds:,.0f} | {asked.pairs / busy:,.0f} | {first:.2f} |")
    print(f"live pairs are {'byte for byte' if equal else 'NOT'} those of the store")


if __name__ == "__main__":
    main()
