"""How much is the factory worth on real data? Segmenters trained on nuclei64, tested on its human masks.

    python benchmarks/downstream.py --data DATA/nuclei64 --generator builtin:nuclei64 --out study --minutes 30

Each cell (method, number of labels, seed, variant) is one result file; what is there is not made again, so the study
runs in pieces (``--minutes``) and survives being killed. ``--list`` shows the cells, ``--only TEXT`` picks some.
When it stops, it writes table.md, table.json and table.png of all cells that are done.

Methods: ``real`` (the N labelled crops alone), ``mean-teacher`` (those, and all train crops without labels),
``factory`` (the N crops by inversion to an interpreter to 10,000 pairs), ``factory+real`` (pairs and the N crops),
``refined`` (the same again, with the pairs' labels made anew by the segmenter of ``factory+real``),
``refined+mean-teacher`` (that, and all train crops without labels, like the baseline),
``self-trained`` (the same, but three first-round segmenters label both pairs and unlabelled crops),
``upper`` (all train labels), ``oracle`` (generated images with the labels of the upper bound's segmenter: what is lost
to the generator alone). All train the same network for the same steps with the same augmentation; nothing is chosen on
val. The score after each quarter of the steps is kept too, so that a baseline that would rather stop early can be read.
"""

import argparse
import json
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from domains import NUCLEI, Domain
from downstream_cells import PAIRS, PICTURES, Cell, main_cells, variants
from downstream_options import study_options
from downstream_parts import (
    Clock,
    in_memory,
    keep,
    parted,
    segment,
    subset,
    with_real,
)
from downstream_report import write_tables
from downstream_starts import begin, config_of, recipe

from labelfactory.errors import InputError
from labelfactory.factory.cache import cache_dir
from labelfactory.factory.conversion import ConversionOrder, convert
from labelfactory.factory.device import resolve_device
from labelfactory.factory.evaluation.metrics import confusion_matrix, scores
from labelfactory.factory.families import open_generator
from labelfactory.factory.generator import ImageGenerator, Seeing, invertible
from labelfactory.factory.heads.classes import train_interpreter
from labelfactory.factory.labels.views import with_views
from labelfactory.factory.pairs.pairs import ArrayPairs, JoinedPairs, Pairs
from labelfactory.factory.pairs.store_pairs import StorePairs
from labelfactory.factory.production.line import produce
from labelfactory.factory.production.order import Order
from labelfactory.factory.production.prepare import prepare
from labelfactory.factory.segmenters.catalogue import load_segmenter, save_segmenter
from labelfactory.factory.segmenters.inference import dataset_confusion, predict_pairs
from labelfactory.factory.segmenters.mean_teacher import Unlabelled
from labelfactory.factory.segmenters.relabel import relabel
from labelfactory.factory.segmenters.segmenter import Segmenter
from labelfactory.factory.segmenters.settings import MeanTeacherConfig
from labelfactory.factory.segmenters.training import train_segmenter
from labelfactory.factory.training.precision import uses_bf16
from labelfactory.interpreters.labelset import LabelSet, Sample
from labelfactory.whole_files import whole_file


class Study:
    """The data, the settings, and everything that cells share, each made once and kept in ``out``."""

    def __init__(self, options: argparse.Namespace, domain: Domain = NUCLEI) -> None:
        self.options, self.domain, self.out = options, domain, Path(options.out)
        self.device = resolve_device(options.device)
        generator = open_generator(options.generator, options.device)
        self._check_settings(generator.sha256)
        self.side = generator.size[0]
        train = self._load("train")
        self.train_set, self.val_set = parted(train) if options.choosing else (train, self._load("val"))

    def _check_settings(self, generator: str) -> None:
        """Cells of other settings, or of another generator, do not belong into the same table."""
        usual = vars(study_options(None).parse_args(["--data", ""]))
        free = ("data", "out", "minutes", "only", "main", "list", "labels", "seeds", "device", "threads", "imagenet")
        settings = {k: v for k, v in vars(self.options).items() if k in usual and k not in free}
        settings["generator_sha256"] = generator
        path = self.out / "study.json"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(settings, indent=1) + "\n")
        made = usual | json.loads(path.read_text())  # studies of before an option was there had its default
        different = [f"{k} {made.get(k)} there, {v} now" for k, v in settings.items() if made.get(k) != v]
        if different:
            raise InputError(f"{self.out} was made with other settings ({'; '.join(different)}): name another --out")

    def _load(self, split: str) -> ArrayPairs:
        """A split in memory; its pictures and masks are decoded once."""
        cache = self.out / f"{split}-{self.side}.npz"
        if not cache.exists():
            read = self.domain.load(Path(self.options.data), split, self.side)
            names, groups = np.array(read.names), np.array(read.groups)
            keep(cache, images=read.images, masks=read.masks, names=names, groups=groups)
        with np.load(cache) as found:
            names, groups = found["names"].tolist(), found["groups"].tolist()
            return ArrayPairs(found["images"], found["masks"], None, names, groups)

    def pictures(self) -> ArrayPairs:
        """All pictures of the domain; their masks are blank, or not to be looked at."""
        if self.domain.pictures is None:
            return self.train_set
        cache = self.out / f"pictures-{self.side}.npz"
        if not cache.exists():
            keep(cache, images=self.domain.pictures(Path(self.options.data), self.side))
        with np.load(cache) as found:
            images = found["images"]
            return ArrayPairs(images, np.zeros(images.shape[:3], np.uint8))

    def chosen(self, n: int, seed: int) -> ArrayPairs:
        """N train crops, from different pictures as long as there are some; those of a smaller N are among them."""
        order = np.random.default_rng(seed).permutation(len(self.train_set))
        seen: set[str] = set()
        first, rest = [], []
        for i in order.tolist():
            (rest if self.train_set.groups[i] in seen else first).append(i)
            seen.add(self.train_set.groups[i])
        return subset(self.train_set, (first + rest)[:n])

    def interpreter(self, n: int, seed: int, features: str | None = None) -> Path:
        """Inversion of the N crops and an interpreter trained on their masks; its costs are kept beside it.

        A generator that looks at photographs sees the crops as they are.
        """
        name = f"n{n:02d}_s{seed}" + (f"_{features}" if features else "")
        path = self.out / "interpreters" / f"{name}.safetensors"
        if path.exists():
            return path
        clock = Clock()
        generator = open_generator(self.generator(features), self.options.device)
        costs: dict[str, Any] = {}
        if isinstance(generator, Seeing):
            labels = chosen_views(self, generator, n, seed, None)
        else:
            labels, _, fidelity = inverted_crops(self, generator, n, seed)
            costs |= {"inversion": clock.lap(), "fidelity": fidelity}
        costs |= {"labels_used": len({s.group for s in labels}), "views_used": len(labels)}
        interpreter = train_interpreter(generator, labels, settings=self.interpreter_settings(seed))
        costs |= {"interpreter": clock.lap()}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_suffix(".json").write_text(json.dumps(costs, indent=1))
        interpreter.save(path)
        return path

    def generator(self, features: str | None = None) -> str:
        """Where the generator lies whose feature maps interpreters read, or whose discriminator's."""
        if features is None:
            return str(self.options.generator)
        path = self.out / f"{features}.safetensors"
        if not path.exists():
            convert(ConversionOrder(str(self.options.generator), path, features=features))
        return str(path)

    def interpreter_settings(self, seed: int) -> Any:
        """Those of the product, with the cell's seed."""
        from labelfactory.factory.heads.classes import InterpreterSettings

        return InterpreterSettings(seed=seed)

    def store(self, cell: Cell) -> str:
        """The store of a cell's pairs; smaller cells read the beginning of the same store."""
        name = f"n{cell.labels:02d}_s{cell.seed}_t{cell.truncation}" + (f"_{cell.features}" if cell.features else "")
        path = self.out / "stores" / f"{name}.zarr"
        path.parent.mkdir(parents=True, exist_ok=True)
        order = Order(
            generator=self.generator(cell.features),
            out=str(path),
            count=self.options.pairs,
            interpreter=str(self.interpreter(cell.labels, cell.seed, cell.features)),
            seed=cell.seed,
            truncation=cell.truncation,
            precision=self.options.precision,
            device=self.options.device,
        )
        costs = path.with_suffix(".json")
        if not costs.exists():
            clock = Clock()
            produce(prepare(order))
            costs.write_text(json.dumps(clock.lap()))
        return str(path)

    def pairs_of(self, cell: Cell) -> ArrayPairs:
        """A cell's generated pairs, in memory."""
        limit = max(1, round(cell.pairs * self.options.pairs / PAIRS))
        return in_memory(StorePairs(self.store(cell), cell.keep, cell.temperature, limit))

    def upper(self, seed: int) -> Path:
        """The segmenter trained on all labels."""
        cell = Cell("upper", 0, seed)
        if not self.segmenter(cell).exists():
            run_cell(self, cell)
        return self.segmenter(cell)

    def segmenter(self, cell: Cell) -> Path:
        """Where a cell's segmenter is kept for cells that build on it."""
        return self.out / "segmenters" / f"{cell.name}.safetensors"

    def refined(self, cell: Cell, pairs: ArrayPairs) -> ArrayPairs:
        """The pairs with the labels that the segmenters of ``factory+real`` give them."""
        cache = self.out / "relabelled" / f"{replace(first_round(cell), teachers=cell.teachers).name}.npz"
        if not cache.exists():
            keep(cache, masks=self.relabelled(cell, pairs, pairs.images))
        with np.load(cache) as found:
            return ArrayPairs(pairs.images, found["masks"])

    def self_labelled(self, cell: Cell, pairs: ArrayPairs) -> ArrayPairs:
        """Crops without labels, with those that the segmenters of ``factory+real`` give them."""
        crops = self.pictures().images
        images = crops[np.random.default_rng(cell.seed).permutation(len(crops))[:PICTURES]]
        return ArrayPairs(images, self.relabelled(cell, pairs, images))

    def relabelled(self, cell: Cell, pairs: ArrayPairs, images: np.ndarray) -> np.ndarray:
        """The first-round segmenters' masks of images; ``pairs`` teach those that are not there yet."""
        teachers = [self.teacher(first_round(cell), pairs, k).to(self.device) for k in range(cell.teachers)]
        return relabel(teachers, images, uses_bf16("auto", self.device))

    def teacher(self, first: Cell, pairs: ArrayPairs, k: int) -> Segmenter:
        """First-round segmenter k: the cell's own, or one that differs from it in its seed alone."""
        if k == 0:
            if not self.segmenter(first).exists():
                run_cell(self, first)
            return load_segmenter(self.segmenter(first))[0]
        path, seed = self.out / "segmenters" / f"{first.name}_{k}.safetensors", first.seed + 100 * k
        if not path.exists():
            both = with_real(pairs, self.chosen(first.labels, first.seed))
            untrained, config = begin(self, replace(first, seed=seed)), config_of(self, first, seed)
            trained, _ = train_segmenter(untrained, both, config, device=self.device)
            save_segmenter(trained, path, recipe(self, first))
        return load_segmenter(path)[0]

    def oracle_pairs(self, seed: int) -> ArrayPairs:
        """Generated images (those of the smallest cell's store) with the labels of the upper bound's segmenter."""
        images = in_memory(StorePairs(self.store(Cell("factory", self.options.labels[0], seed)), keep=False)).images
        model, _ = load_segmenter(self.upper(seed))
        return ArrayPairs(images, segment(model.to(self.device), images))


def first_round(cell: Cell) -> Cell:
    """The cell whose segmenter labels for this one."""
    return replace(cell, method="factory+real", consistency=None, teachers=1)


def chosen_views(study: Study, generator: ImageGenerator, n: int, seed: int, origin: int | None) -> LabelSet:
    """The N crops in the views that teach the interpreter, as a label set; ``origin`` of each."""
    options, crops = study.options, study.chosen(n, seed)
    samples = tuple(Sample(crops.names[i], crops.images[i], crops.masks[i], origin) for i in range(n))
    labels = LabelSet(study.domain.classes, samples, options.generator, generator.sha256)
    return with_views(labels, options.amplify, "all" if n <= options.all_lights else "one")


def inverted_crops(
    study: Study, generator: ImageGenerator, n: int, seed: int
) -> tuple[LabelSet, np.ndarray, list[float]]:
    """The N crops' views with their latents, their reconstructions, and every view's fidelity."""
    from labelfactory.factory.labels.encoder import ensure_encoder
    from labelfactory.factory.labels.inversion import InversionSettings
    from labelfactory.factory.labels.real_images import invert_label_set

    options, able = study.options, invertible(generator)
    inverted, fared, made = invert_label_set(
        able,
        chosen_views(study, generator, n, seed, 0),
        study.out / "latents",
        ensure_encoder(able, cache_dir(), options.encoder_steps),
        InversionSettings(steps=options.inversion_steps),
        options.min_fidelity,
    )
    return inverted, made[[f.kept for f in fared]], [f.fidelity for f in fared]


def run_cell(study: Study, cell: Cell) -> None:
    """Train and test one cell and write its result."""
    options, clock = study.options, Clock()
    real = study.chosen(cell.labels, cell.seed) if cell.labels else study.train_set
    model, config = begin(study, cell), config_of(study, cell, cell.seed)
    result: dict[str, Any] = {"cell": asdict(cell), "network": recipe(study, cell)["name"], "steps": options.steps}
    checkpoint = study.out / "checkpoints" / f"{cell.name}.pt"
    pairs: Pairs
    crops: ArrayPairs | None = None
    if cell.method in ("real", "upper", "mean-teacher"):
        pairs = real
    elif cell.method == "oracle":
        pairs = study.oracle_pairs(cell.seed)
    else:
        generated = study.pairs_of(cell)
        result["agreement_with_upper"] = agreement(study, cell.seed, generated)
        pairs = generated
        if cell.method in ("refined", "refined+mean-teacher", "self-trained"):
            result["preparation"] = clock.lap()
            made, generated = generated, study.refined(cell, generated)
            pairs = generated
            crops = study.self_labelled(cell, made) if cell.method == "self-trained" else None
            result["relabelling"] = clock.lap()
            result["agreement_refined"] = agreement(study, cell.seed, generated)
        if crops is not None:  # people's labels have taught the teachers: here each counts once
            pairs = JoinedPairs([generated, crops, real], [1, max(1, round(len(generated) / len(crops))), 1])
        elif cell.method != "factory":
            pairs = with_real(generated, real)
    unlabelled = None
    if cell.consistency is not None:
        semi = MeanTeacherConfig(float(cell.consistency), batch_size=options.batch_size)
        unlabelled = Unlabelled(study.pictures(), semi)
    result["preparation"] = result.get("preparation") or clock.lap()

    def score(step: int, average: Segmenter) -> dict[str, float]:
        return {"val_miou": float(scores(confusion(study, average, study.val_set)).miou)}

    trained, report = train_segmenter(
        model, pairs, config, checkpoint=checkpoint, device=study.device, on_validation=score, unlabelled=unlabelled
    )
    result["miou_by_step"] = {row["step"]: row["val_miou"] for row in report.history}
    result["training"] = clock.lap()
    if cell.method in ("upper", "factory+real"):
        save_segmenter(trained, study.segmenter(cell), recipe(study, cell))
    write_result(study, cell, confusions(study, trained), result, clock)
    checkpoint.unlink(missing_ok=True)


def write_result(study: Study, cell: Cell, per_image: np.ndarray, result: dict[str, Any], clock: Clock) -> None:
    """A cell's scores, with its costs so far and those of testing since the clock's last lap."""
    total = scores(per_image.sum(0))
    result = {"cell": asdict(cell)} | result
    result |= {"miou": float(total.miou), "iou": total.iou.tolist(), "testing": clock.lap()}
    folder = study.out / "cells"
    keep(folder / f"{cell.name}.npz", confusion=per_image, groups=np.array(study.val_set.groups))
    with whole_file(folder / f"{cell.name}.json") as file:
        file.write(json.dumps(result, indent=1).encode())


def confusions(study: Study, model: Segmenter) -> np.ndarray:
    """One confusion matrix for each val crop."""
    found = predict_pairs(model, study.val_set, bf16=uses_bf16("auto", study.device))
    return np.stack([confusion_matrix(pair.mask, p.argmax(0), model.num_classes) for pair, p in found])


def confusion(study: Study, model: Segmenter, pairs: Pairs) -> np.ndarray:
    """One confusion matrix over all pairs; rows are their masks."""
    return dataset_confusion(model.to(study.device), pairs, bf16=uses_bf16("auto", study.device))


def agreement(study: Study, seed: int, pairs: ArrayPairs, count: int = 500) -> float | None:
    """mIoU of the interpreter's masks against the upper bound's segmenter on the same images: what labels lose."""
    path = study.segmenter(Cell("upper", 0, seed))
    if not path.exists():
        return None
    model, _ = load_segmenter(path)
    some = subset(pairs, list(range(min(count, len(pairs)))))
    return float(scores(confusion(study, model, some)).miou)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    return study_options(__doc__).parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Run what is missing until the time is over, then write the tables."""
    options = parse(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    folder = Path(options.out) / "cells"
    cells = main_cells(options.labels, options.seeds)
    if not options.main:
        cells += variants(options.labels, options.seeds)
    cells = [c for c in cells if any(part in c.name for part in options.only.split(","))]
    missing = [c for c in cells if not (folder / f"{c.name}.json").exists()]
    print(f"{len(cells) - len(missing)} of {len(cells)} cells are done")
    if options.list:
        for cell in cells:
            print("      " if cell in missing else "done  ", cell.name)
        return
    began = time.monotonic()
    study = Study(options) if missing else None
    for cell in missing:
        if time.monotonic() - began > 60 * options.minutes:
            print(f"{options.minutes:g} minutes are over; the same command goes on")
            break
        if study is not None and not (folder / f"{cell.name}.json").exists():
            print(cell.name, flush=True)
            run_cell(study, cell)
    write_tables(Path(options.out))


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit(f"downstream: {error}")
