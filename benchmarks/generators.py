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
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from downstream import Study, parse, run_cell
from downstream_cells import Cell
from downstream_parts import NUCLEI_CLASSES, Clock, keep

from labelfactory.errors import InputError
from labelfactory.factory.evaluation.metrics import confusion_matrix, scores
from labelfactory.factory.families import open_generator
from labelfactory.factory.generator import Seeing
from labelfactory.factory.heads.classes import train_interpreter
from labelfactory.factory.labels.views import with_views
from labelfactory.factory.latents import latents
from labelfactory.interpreters import StyleInterpreter
from labelfactory.interpreters.labelset import LabelSet, Sample
from labelfactory.whole_files import whole_file

BATCH, TIMED = 16, 32


class FamilyStudy(Study):
    """A study whose generator may look at photographs: then these teach the interpreter as they are."""

    def interpreter(self, n: int, seed: int) -> Path:
        generator = open_generator(self.options.generator, self.options.device)
        path = self.out / "interpreters" / f"n{n:02d}_s{seed}.safetensors"
        if path.exists() or not isinstance(generator, Seeing):
            return super().interpreter(n, seed)
        clock, crops = Clock(), self.chosen(n, seed)
        samples = tuple(Sample(crops.names[i], crops.images[i], crops.masks[i], None) for i in range(n))
        labels = LabelSet(NUCLEI_CLASSES, samples, self.options.generator, generator.sha256)
        light = "all" if n <= self.options.all_lights else "one"
        views = with_views(labels, self.options.amplify, light)
        interpreter = train_interpreter(generator, views, settings=self.interpreter_settings(seed))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_suffix(".json").write_text(json.dumps({"interpreter": clock.lap(), "views_used": len(views)}))
        interpreter.save(path)
        return path


def features(study: FamilyStudy, cell: Cell) -> None:
    """The interpreter's labels of the val crops themselves."""
    generator = open_generator(study.options.generator, study.options.device)
    if not isinstance(generator, Seeing):
        raise InputError(f"{study.options.generator}: this family does not look at photographs; leave features out")
    clock = Clock()
    interpreter = StyleInterpreter.load(str(study.interpreter(cell.labels, cell.seed))).to(generator.device)
    result: dict[str, Any] = {"cell": asdict(cell), "training": clock.lap()}
    matrices, images, masks = [], study.val_set.images, study.val_set.masks
    for start in range(0, len(images), BATCH):
        maps = generator.see_images(torch.from_numpy(images[start : start + BATCH]))
        found = interpreter.predict(maps, study.options.precision).mask.cpu().numpy()
        some = zip(masks[start : start + BATCH], found, strict=True)
        matrices += [confusion_matrix(mask, seen, len(NUCLEI_CLASSES)) for mask, seen in some]
    total = scores(np.sum(matrices, 0))
    result |= {"miou": float(total.miou), "iou": total.iou.tolist(), "testing": clock.lap()}
    folder = study.out / "cells"
    keep(folder / f"{cell.name}.npz", confusion=np.stack(matrices), groups=np.array(study.val_set.groups))
    with whole_file(folder / f"{cell.name}.json") as file:
        file.write(json.dumps(result, indent=1).encode())


def cost_of_a_pair(study: FamilyStudy, cell: Cell) -> str:
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
    options = parse(rest)
    options.labels = (4, 16) if "--labels" not in rest else options.labels
    if options.threads:
        torch.set_num_threads(options.threads)
    names = {"features": "features", "pairs": "factory"}
    cells = [Cell(names[m], n, seed) for seed in options.seeds for n in options.labels for m in mine.methods.split(",")]
    began, study = time.monotonic(), FamilyStudy(options)
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
