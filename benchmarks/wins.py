"""What wins the rest? Each option alone against the same without it: nuclei64, N labels, one network, short trainings.

    python benchmarks/wins.py --data DATA/nuclei64 --out wins --labels 4 --seed 0

Inversion, interpreter and store are made as in downstream.py, for fewer pairs and steps. An arm is one result file;
what is there is not made again. ``--trainings`` repeats each arm's segmenter with other seeds: what trainings on the
same pairs scatter is what a difference has to exceed.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from downstream import Study, confusions, inverted_crops, parse
from downstream_parts import Clock, in_memory, keep, network, training_config

from labelfactory.factory.evaluation.bootstrap import resampled_sums
from labelfactory.factory.evaluation.metrics import scores
from labelfactory.factory.families import open_generator
from labelfactory.factory.heads.classes import train_interpreter
from labelfactory.factory.heads.consistent_masks import consistent_masks
from labelfactory.factory.pairs.augmentation import PRESETS, Augmentation
from labelfactory.factory.pairs.balancing import occurrences, weights_like
from labelfactory.factory.pairs.pairs import ArrayPairs, ChosenPairs, Pair, Pairs
from labelfactory.factory.pairs.store_pairs import StorePairs
from labelfactory.factory.production.line import produce
from labelfactory.factory.production.order import Order
from labelfactory.factory.production.prepare import prepare
from labelfactory.factory.segmenters.relabel import relabel
from labelfactory.factory.segmenters.training import train_segmenter
from labelfactory.factory.sensor.sensor import Sensor
from labelfactory.factory.sensor.statistics import rows_over
from labelfactory.factory.training.precision import uses_bf16


class Arm(NamedTuple):
    """What to train on, how it is varied (None: as all are), and what is worth telling of it."""

    pairs: Pairs
    augmentation: Augmentation | None = None
    told: Mapping[str, Any] = MappingProxyType({})


class Trial:
    """One labelled sample of the study: its interpreter, and a store for each way of making pairs."""

    def __init__(self, options: argparse.Namespace) -> None:
        given = ["--data", options.data, "--out", options.out, "--pairs", str(options.pairs), "--threads", "1"]
        self.study = Study(parse([*given, "--steps", str(options.steps), "--precision", "bfloat16"]))
        self.n, self.seed, self.out = options.labels, options.seed, Path(options.out)

    def store(self, name: str, interpreter: Path | None = None, **wishes: Any) -> StorePairs:
        """Pairs made as ``factory generate`` makes them, with these options."""
        study = self.study.options
        order = Order(
            generator=study.generator,
            out=str(self.out / "stores" / f"n{self.n:02d}_s{self.seed}_{name}.zarr"),
            count=study.pairs,
            interpreter=str(interpreter or self.study.interpreter(self.n, self.seed)),
            seed=self.seed,
            truncation=1.0,
            precision=study.precision,
            device=study.device,
            **wishes,
        )
        Path(order.out).parent.mkdir(parents=True, exist_ok=True)
        produce(prepare(order))
        return StorePairs(order.out)


def base(trial: Trial) -> Arm:
    return Arm(in_memory(trial.store("base")))


def siblings(agreement: float, styles: float = 0.3) -> Callable[[Trial], Arm]:
    def arm(trial: Trial) -> Arm:
        name = f"siblings{agreement:g}_{styles:g}"
        pairs = in_memory(trial.store(name, siblings=3, sibling_agreement=agreement, sibling_styles=styles))
        return Arm(pairs, told={"left_out": float((pairs.masks == 255).mean())})

    return arm


def sensor(**changes: Any) -> Callable[[Trial], Arm]:
    """Pairs as the pictures' cameras would have taken them; ``changes`` are of the study's augmentation."""

    def arm(trial: Trial) -> Arm:
        pairs = in_memory(trial.store("base"))
        some = np.random.default_rng(0).permutation(len(trial.study.train_set))[:512]
        measured = Sensor(rows_over(trial.study.train_set.images[some], pairs.images, [0] * len(some)))
        how = replace(PRESETS[trial.study.options.augmentation], sensor=measured, **changes)
        return Arm(Generated(pairs), how, {"measured": "; ".join(measured.lines())})

    return arm


def without_grain(trial: Trial) -> Arm:
    return Arm(in_memory(trial.store("base")), replace(PRESETS[trial.study.options.augmentation], noise=0.0))


def consistent(trial: Trial) -> Arm:
    """An interpreter of masks whose outlines follow one rule."""
    study, path = trial.study, trial.out / "interpreters" / f"n{trial.n:02d}_s{trial.seed}_consistent.safetensors"
    if not path.exists():
        generator = open_generator(study.options.generator, study.options.device)
        inverted, _, _ = inverted_crops(study, generator, trial.n, trial.seed)
        settings = study.interpreter_settings(trial.seed)
        moved, offsets = consistent_masks(generator, inverted, settings)
        path.with_suffix(".txt").write_text("\n".join(offset.line(name) for name, offset in offsets.items()))
        train_interpreter(generator, moved, settings).save(path)
    told = path.with_suffix(".txt").read_text().splitlines()
    return Arm(in_memory(trial.store("consistent", path)), told={"offsets": "; ".join(told)})


def like(trial: Trial) -> Arm:
    """Pairs in numbers such that their masks are as those that a segmenter trained on them gives real crops."""
    study, pairs = trial.study, in_memory(trial.store("base"))
    model = network(study.options, 1, trial.seed)
    teacher, _ = train_segmenter(model, pairs, training_config(study.options, trial.seed), device=study.device)
    some = np.random.default_rng(0).permutation(len(study.train_set))[:400]
    images = study.train_set.images[some]
    real = ArrayPairs(images, relabel([teacher.to(study.device)], images, uses_bf16("auto", study.device)))
    weights = weights_like(pairs, real, study.domain.classes, progress=False)
    return Arm(ChosenPairs(pairs, occurrences(weights)), told={"spread_of_weights": float(weights.std())})


class Generated(Pairs):
    """Pairs in memory that no camera took."""

    def __init__(self, pairs: Pairs) -> None:
        self.pairs = pairs

    def __len__(self) -> int:
        return len(self.pairs)

    def fetch(self, indices: Sequence[int]) -> list[Pair]:
        return [replace(pair, generated=True) for pair in self.pairs.fetch(indices)]


ARMS: dict[str, Callable[[Trial], Arm]] = {
    "base": base,
    "siblings, all agree": siblings(1.0),
    "siblings, most agree": siblings(0.5),
    "siblings, half of the layers": siblings(0.5, 0.5),
    "sensor": sensor(),
    "sensor in place of grain": sensor(noise=0.0),
    "sensor in place of grain, blur and light": sensor(noise=0.0, blur=0.0, brightness=0.0, contrast=1.0),
    "no grain": without_grain,
    "consistent masks": consistent,
    "like real masks": like,
}


def run(trial: Trial, name: str, training: int) -> None:
    """Trains and tests one arm's segmenter, and writes its result."""
    clock, options = Clock(), trial.study.options
    made = ARMS[name](trial)
    prepared, seed = clock.lap(), trial.seed + 100 * training
    config = training_config(options, seed)
    if made.augmentation is not None:
        config = replace(config, augmentation=made.augmentation)
    model = network(options, 1, seed)
    trained, _ = train_segmenter(model, made.pairs, config, device=trial.study.device)
    trained_for = clock.lap()
    per_image = confusions(trial.study, trained)
    total = scores(per_image.sum(0))
    file = _file(trial.out, trial.n, trial.seed, name, training)
    keep(file.with_suffix(".npz"), confusion=per_image, groups=np.array(trial.study.val_set.groups))
    result = {"miou": float(total.miou), "iou": total.iou.tolist(), "preparation": prepared, "training": trained_for}
    file.write_text(json.dumps(result | dict(made.told), indent=1))


def _file(out: Path, n: int, seed: int, name: str, training: int) -> Path:
    return out / "arms" / f"n{n:02d}_s{seed}_{name.replace(', ', '_').replace(' ', '-')}_{training}.json"


def table(out: Path, n: int, seed: int, trainings: int) -> list[str]:
    """A line an arm: mean mIoU, and the paired difference to base with its 95 % interval over val pictures."""
    found: dict[str, tuple[np.ndarray, list[float], dict[str, Any]]] = {}
    groups: list[str] = []
    for name in ARMS:
        files = [f for k in range(trainings) if (f := _file(out, n, seed, name, k)).exists()]
        if not files:
            continue
        sums = []
        for file in files:
            with np.load(file.with_suffix(".npz")) as arrays:
                groups = arrays["groups"].tolist()
                sums.append(scores(resampled_sums(arrays["confusion"], groups)).miou)
        told = json.loads(files[0].read_text())
        found[name] = np.mean(sums, 0), [json.loads(f.read_text())["miou"] for f in files], told
    lines = ["| arm | mIoU of each training | mean | above base | told |", "|---|---|---:|---:|---|"]
    for name, (draws, each, told) in found.items():
        difference = ""
        if name != "base" and "base" in found:
            low, high = np.percentile(100 * (draws - found["base"][0]), [2.5, 97.5])
            difference = f"{100 * (np.mean(each) - np.mean(found['base'][1])):+.1f} ({low:+.1f} to {high:+.1f})"
        known = ("miou", "iou", "preparation", "training")
        more = ", ".join(
            f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}" for k, v in told.items() if k not in known
        )
        scattered = ", ".join(f"{100 * x:.1f}" for x in each)
        lines.append(f"| {name} | {scattered} | {100 * np.mean(each):.1f} | {difference} | {more} |")
    return lines


def main() -> None:
    """Runs what is missing, then prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="folder with train_images.zip and its three siblings")
    parser.add_argument("--out", default="wins")
    parser.add_argument("--labels", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pairs", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--trainings", type=int, default=1)
    parser.add_argument("--only", default="", help="arms, separated by ;")
    parser.add_argument("--minutes", type=float, default=1e9, help="minutes after which no arm is begun")
    options = parser.parse_args()
    torch.set_num_threads(1)
    began, trial = time.monotonic(), None
    wanted = options.only.split(";") if options.only else list(ARMS)
    for training in range(options.trainings):
        for name in wanted:
            if _file(Path(options.out), options.labels, options.seed, name, training).exists():
                continue
            if time.monotonic() - began > 60 * options.minutes:
                print("the time is over; the same command goes on")
                break
            trial = trial or Trial(options)
            print(name, training, flush=True)
            run(trial, name, training)
    print("\n".join(table(Path(options.out), options.labels, options.seed, options.trainings)))


if __name__ == "__main__":
    main()
