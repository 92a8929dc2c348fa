"""Which family of generators should somebody take? The factory on nuclei64 with each, few labels, real val masks.

    python benchmarks/generators.py --data DATA/nuclei64 --generator builtin:nuclei64 --out study-gan --methods pairs
    python benchmarks/generators.py --data DATA/nuclei64 --generator run/generator --out study-ddpm
    python benchmarks/generators.py --data DATA/nuclei64 --generator run/generator --out study-ddpm --time

Methods: ``pairs`` (the cell "factory" of ``downstream.py``: the N labelled crops teach an interpreter, which labels
generated images, on which the study's network is trained) and ``features`` (of families that look at photographs: that
interpreter labels the val crops themselves, without a data set). The crops, the network, its training and the testing
are those of ``downstream.py``, whose other options hold here too; where a family looks at photographs nothing is
inverted. One result file a cell: what is there is not made again.

``--time`` makes 32 pairs with the interpreter of the first cell and says what one costs.
"""

import argparse
import json
import resource
import sys
import time
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from downstream import Study, run_cell
from downstream_cells import Cell
from downstream_direct import label_directly
from downstream_options import study_options
from downstream_parts import Clock

from labelfactory.errors import InputError
from labelfactory.factory.families import open_generator
from labelfactory.factory.generator import Seeing
from labelfactory.factory.latents import latents
from labelfactory.interpreters import StyleInterpreter

BATCH, TIMED = 16, 32


def features(study: Study, cell: Cell) -> None:
    """The interpreter's labels of the val crops themselves."""
    if not isinstance(open_generator(study.options.generator, study.options.device), Seeing):
        raise InputError(f"{study.options.generator}: this family does not look at photographs; leave features out")
    label_directly(study, cell)


def cost_of_a_pair(study: Study, cell: Cell) -> str:
    """Processor and wall time of a pair, and the memory that making them takes beside what was there before."""
    interpreter = StyleInterpreter.load(str(study.interpreter(cell.labels, cell.seed)))
    generator = open_generator(study.options.generator, study.options.device)
    interpreter = interpreter.to(generator.device)
    z = latents(range(TIMED + BATCH), generator.latent_shape)
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    laps = []
    for start in range(0, len(z), BATCH):  # the first batch warms up
        clock = Clock()
        made = generator.generate(z[start : start + BATCH])
        interpreter.predict(made.feature_maps, study.options.precision).mask.sum().item()
        laps.append(clock.lap())
    cpu, wall = (1000 * sum(lap[name] for lap in laps[1:]) / TIMED for name in ("cpu_s", "wall_s"))
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - resident) / 2**20
    widths = sum(generator.feature_channels)
    return (
        f"{cpu:.0f} ms of one core a pair ({wall:.0f} ms passed), {grown:.2f} GiB more, features of {widths} channels"
    )


def table(out: Path) -> str:
    """mIoU of all cells that are done, a row a method and number of labels."""
    rows: dict[tuple[str, int], dict[int, float]] = {}
    for path in sorted((out / "cells").glob("*.json")):
        result = json.loads(path.read_text())
        cell = result["cell"]
        rows.setdefault((cell["method"], cell["labels"]), {})[cell["seed"]] = 100 * result["miou"]
    lines = ["| method | labels | seeds | mIoU of each | mean |", "|---|---:|---|---|---:|"]
    for (method, labels), found in sorted(rows.items()):
        each = ", ".join(f"{value:.1f}" for _, value in sorted(found.items()))
        seeds = ", ".join(map(str, sorted(found)))
        lines.append(f"| {method} | {labels} | {seeds} | {each} | {np.mean(list(found.values())):.1f} |")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> None:
    """Make what is missing until the time is over, then print the table."""
    own = argparse.ArgumentParser(add_help=False)
    own.add_argument("--methods", default="features,pairs")
    own.add_argument("--time", action="store_true")
    mine, rest = own.parse_known_args(arguments)
    options = study_options(__doc__).parse_args(rest)
    options.labels = (4, 16) if "--labels" not in rest else options.labels
    if options.threads:
        torch.set_num_threads(options.threads)
    names = {"features": "features", "pairs": "factory"}
    cells = [Cell(names[m], n, seed) for seed in options.seeds for n in options.labels for m in mine.methods.split(",")]
    began, study = time.monotonic(), Study(options)
    if mine.time:
        print(cost_of_a_pair(study, cells[0]))
        return
    for cell in cells:
        if (study.out / "cells" / f"{cell.name}.json").exists():
            continue
        if time.monotonic() - began > 60 * options.minutes:
            print(f"{options.minutes:g} minutes are over; the same command goes on")
            break
        print(cell.name, flush=True)
        features(study, cell) if cell.method == "features" else run_cell(study, cell)
    print(table(study.out))


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit(f"generators: {error}")
