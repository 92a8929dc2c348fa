"""Objects from few labels: nuclei64, networks trained on labelled crops alone, on factory pairs, on all labels.

    python benchmarks/objects.py --data DATA/nuclei64 --out objects-study --minutes 12   # as often as needed
    python benchmarks/objects.py --data DATA/nuclei64 --out objects-study --list
    python benchmarks/objects.py --data DATA/nuclei64 --out objects-study --only factory-01,labelled-01

Each cell (network, method, number of labels) is one result file, and what cells share (latents, models, pairs) lies
beside them. What is there is not made again: the study runs in pieces and survives being killed. Methods:
``labelled`` (the N crops alone), ``factory`` (the N crops by inversion to an interpreter and a regressor of centres, to
pairs with numbered objects; and the N crops as a quarter of all), ``all`` (all train labels). All train the same
network for the same steps with the same augmentation; nothing is chosen on val. Scores are of val crops of all its
pictures, evenly spaced; their intervals draw whole source pictures. Seconds are of one core.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy import ndimage

from labelfactory.factory.cache import cache_dir
from labelfactory.factory.evaluation.evaluation import evaluate
from labelfactory.factory.evaluation.instances import objects_of, overlaps
from labelfactory.factory.evaluation.predicted import Predicted
from labelfactory.factory.families import open_generator
from labelfactory.factory.heads.centres import train_centres
from labelfactory.factory.heads.classes import InterpreterSettings, train_interpreter
from labelfactory.factory.labels.encoder import ensure_encoder
from labelfactory.factory.labels.inversion import InversionSettings
from labelfactory.factory.labels.real_images import invert_label_set
from labelfactory.factory.labels.views import with_views
from labelfactory.factory.pairs.augmentation import PRESETS
from labelfactory.factory.pairs.labelled import LabelledPairs, parse_mapping
from labelfactory.factory.pairs.pairs import ChosenPairs, JoinedPairs, Pair, Pairs
from labelfactory.factory.pairs.store_pairs import StorePairs
from labelfactory.factory.production.line import produce
from labelfactory.factory.production.order import Order
from labelfactory.factory.production.prepare import prepare
from labelfactory.factory.segmenters.catalogue import build_network
from labelfactory.factory.segmenters.inference import judged
from labelfactory.factory.segmenters.settings import TrainingConfig
from labelfactory.factory.segmenters.tasks import Aim, pairs_for
from labelfactory.factory.segmenters.training import train_segmenter
from labelfactory.interpreters.classes import LabelClass, name_classes
from labelfactory.interpreters.labelset import LabelSet, Sample
from labelfactory.whole_files import whole_file

CLASSES = (LabelClass("background", (0, 0, 0), False), LabelClass("nucleus", (230, 159, 0), True))
AIM = Aim("instance", CLASSES)
GENERATOR = "builtin:nuclei64"
NETWORKS: dict[str, dict[str, Any]] = {
    "panoptic-deeplab": {"width": 16},
    "centernet": {"width": 16},
    "eomt-tiny": {},
}
LABELS = (1, 4, 16)
MOST_OBJECTS = 254  # numbers that travel through views and inversion as class ids


class Cell(NamedTuple):
    network: str
    method: str
    labels: int

    @property
    def name(self) -> str:
        return f"{self.network}-{self.method}-{self.labels:02d}"


class Over(Exception):
    """The minutes of this run are over."""


def cells() -> list[Cell]:
    """The most telling first."""
    found = []
    for network in NETWORKS:
        for n in LABELS:
            found += [Cell(network, "labelled", n), Cell(network, "factory", n)]
        found.append(Cell(network, "all", 0))
    return found


class Study:
    """The data and what cells share, each made once and kept in ``out``."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options, self.out, self.began = options, Path(options.out), time.monotonic()
        self.out.mkdir(parents=True, exist_ok=True)
        data = Path(options.data)
        mapping = parse_mapping("0:0,1-255:1")
        self.train, self.val = (
            LabelledPairs(data / f"{s}_images.zip", data / f"{s}_instances.zip", mapping, True)
            for s in ("train", "val")
        )

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """A piece of the work whose result is kept; its seconds are added to ``seconds.json``. Over: none is begun."""
        if time.monotonic() - self.began > 60 * self.options.minutes:
            raise Over
        began = time.process_time()
        try:
            yield
        finally:
            seconds = self.seconds()
            seconds[name] = seconds.get(name, 0.0) + time.process_time() - began
            with whole_file(self.out / "seconds.json") as file:
                file.write(json.dumps(seconds, indent=1).encode())
            print(f"{name}: {seconds[name]:.0f} s of one core so far", flush=True)

    def seconds(self) -> dict[str, float]:
        """Seconds of one core that each piece has taken, over all runs."""
        path = self.out / "seconds.json"
        return json.loads(path.read_text()) if path.exists() else {}

    def chosen(self, n: int) -> list[int]:
        """N train crops of different pictures; those of a smaller N are among them."""
        seen: set[str] = set()
        picked = []
        for i in np.random.default_rng(self.options.seed).permutation(len(self.train)).tolist():
            group = self.train.groups.get(self.train.stems[i], self.train.stems[i])
            if group not in seen:
                seen.add(group)
                picked.append(i)
            if len(picked) == n:
                break
        return picked

    def labelled(self, n: int) -> Pairs:
        return ChosenPairs(pairs_for(AIM, self.train), self.chosen(n))

    def judged_on(self) -> Pairs:
        """Val crops, evenly spaced among all."""
        count = min(self.options.val, len(self.val))
        return pairs_for(AIM, ChosenPairs(self.val, np.linspace(0, len(self.val) - 1, count).astype(int)))

    def models(self, n: int) -> tuple[Path, Path]:
        """Interpreter and regressor of centres from N crops: views, inversion, training."""
        paths = (self.out / f"interpreter{n:02d}.safetensors", self.out / f"centres{n:02d}.safetensors")
        if all(p.exists() for p in paths):
            return paths
        generator, seed = open_generator(GENERATOR, "cpu"), self.options.seed
        with self.stage(f"inversion {n:02d}"):
            inverted = self.inverted(n, generator)
        objects = {s.name: s.mask.astype(np.int64) for s in inverted}
        masked = tuple(s._replace(mask=(s.mask > 0).astype(np.uint8)) for s in inverted)
        inverted = replace(inverted, classes=CLASSES, samples=masked)
        if not paths[0].exists():
            with self.stage(f"interpreter {n:02d}"):
                settings = InterpreterSettings(seed=seed)
                train_interpreter(generator, inverted, settings, progress=False).save(paths[0])
        with self.stage(f"centres {n:02d}"):
            train_centres(generator, inverted, objects, sigma=3.0, seed=seed, progress=False).save(paths[1])
        return paths

    def inverted(self, n: int, generator: Any) -> LabelSet:
        """N crops in all their views with latents that explain them; their masks are object numbers."""
        crops = self.labelled(n).fetch(range(n))
        numbers = name_classes(str(i) for i in range(MOST_OBJECTS))
        samples = tuple(
            Sample(p.name, p.image, p.instances.astype(np.uint8), 0) for p in crops if p.instances is not None
        )
        views = with_views(
            LabelSet(numbers, samples, GENERATOR, generator.sha256), "dihedral", "all" if n <= 4 else "one"
        )
        settings = InversionSettings(steps=self.options.inversion_steps)
        encoder = ensure_encoder(generator, cache_dir(), 400)
        inverted, _, _ = invert_label_set(generator, views, self.out / "latents", encoder, settings, 0.8)
        print(f"{n} crops, {len(views)} views, {len(inverted)} inverted well", flush=True)
        return inverted

    def store(self, n: int) -> str:
        path = str(self.out / f"pairs{n:02d}.zarr")
        interpreter, centres = self.models(n)
        wishes = {"interpreter": str(interpreter), "centres": str(centres), "instances": True, "truncation": 1.0}
        order = Order(generator=GENERATOR, out=path, count=self.options.pairs, seed=1, shard_size=100, **wishes)
        with self.stage(f"pairs {n:02d}"):
            produce(prepare(replace(order, device="cpu")), progress=False)
        return path

    def pairs(self, cell: Cell) -> Pairs:
        if cell.method == "all":
            return pairs_for(AIM, self.train)
        real = self.labelled(cell.labels)
        if cell.method == "labelled":
            return real
        made = StorePairs(self.store(cell.labels), extra=("instances",))
        generated = pairs_for(AIM, made)
        return JoinedPairs([generated, real], [1, max(1, round(len(generated) / (3 * len(real))))])


def touching(pair: Pair, said: Predicted) -> np.ndarray:
    """Found and true objects that touch another, then of those that stand alone (IoU of one half or more)."""
    assert said.mask is not None
    truth = objects_of(pair.mask, [1], pair.instances)
    found = objects_of(said.mask, [1], said.instances)
    hit = (
        (overlaps(truth, found, pair.mask < 255)[0] >= 0.5).any(1)
        if len(found.classes)
        else np.zeros(len(truth.classes), bool)
    )
    counts = np.zeros(4, np.int64)
    for number in range(1, len(truth.classes) + 1):
        around = ndimage.binary_dilation(truth.ids == number, np.ones((3, 3)))
        alone = np.isin(truth.ids[around], (0, number)).all()
        counts[2 * alone : 2 * alone + 2] += (hit[number - 1], 1)
    return counts


def run(study: Study, cell: Cell) -> None:
    """Train one cell's network, judge it on val, write its result."""
    options, pairs = study.options, study.pairs(cell)
    config = TrainingConfig(
        steps=options.steps,
        batch_size=options.batch_size,
        learning_rate=5e-4 if cell.network == "eomt-tiny" else 2e-3,
        augmentation=PRESETS["in-place"],
        average=0.99,
        validate_every=50,
        precision=options.precision,
        seed=options.seed,
    )
    torch.manual_seed(options.seed)
    network = build_network(cell.network, 1, AIM, **NETWORKS[cell.network])
    checkpoint = study.out / f"{cell.name}.checkpoint"
    with study.stage(f"training {cell.name}"):
        trained, report = train_segmenter(network, pairs, config, checkpoint=checkpoint, progress=False)
    counts = np.zeros(4, np.int64)

    def seen() -> Any:
        nonlocal counts
        for pair, said in judged(trained, study.judged_on(), progress=False):
            counts = counts + touching(pair, said)
            yield pair, said

    with study.stage(f"judging {cell.name}"):
        result = evaluate(seen(), CLASSES, 400, 0)
    told = {k: [round(v, 4) for v in (s.value, s.low, s.high)] for k, s in result.overall.items()}
    record = {
        "cell": cell._asdict(),
        "scores": told,
        "recall_touching": int(counts[0]) / max(1, int(counts[1])),
        "recall_alone": int(counts[2]) / max(1, int(counts[3])),
        "touching": int(counts[1]),
        "alone": int(counts[3]),
        "pairs": len(pairs),
        "crops": result.images,
        "pictures": result.groups,
        "training_seconds": study.seconds()[f"training {cell.name}"],
        "losses": [row["loss"] for row in report.history],
    }
    with whole_file(study.out / f"{cell.name}.json") as file:
        file.write(json.dumps(record, indent=1).encode())
    checkpoint.unlink(missing_ok=True)
    print(f"{cell.name}: AP50 {told['ap50']}, PQ {told['panoptic_quality']}, AJI {told['aji']}", flush=True)


def table(out: Path) -> str:
    """All cells that are done, in per cent with intervals."""
    lines = [
        "| network | trained on | AP50 | AP | PQ | AJI | touching found | alone found | training, s |",
        "|---|---|---|---|---|---|---|---|---:|",
    ]
    for cell in cells():
        path = out / f"{cell.name}.json"
        if not path.exists():
            continue
        r = json.loads(path.read_text())
        shown = [r["scores"][k] for k in ("ap50", "ap", "panoptic_quality", "aji")]
        texts = [f"{100 * v:.1f} ({100 * a:.1f} to {100 * b:.1f})" for v, a, b in shown]
        texts += [f"{100 * r['recall_touching']:.1f}", f"{100 * r['recall_alone']:.1f}"]
        texts.append(f"{r['training_seconds']:.0f}")
        of = f"{cell.method}, {cell.labels} labels" if cell.labels else "all labels"
        lines.append(f"| {cell.network} | {of} | " + " | ".join(texts) + " |")
    return "\n".join(lines)


def main() -> None:
    """Run what is missing until the time is over, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="folder with train_images.zip and its three siblings")
    parser.add_argument("--out", default="objects-study")
    parser.add_argument("--minutes", type=float, default=1e9, help="minutes after which no piece of work is begun")
    parser.add_argument("--only", default="", help="cells whose name contains one of these (comma-separated)")
    parser.add_argument("--val", type=int, default=400, help="val crops to judge on")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--pairs", type=int, default=2000)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--inversion-steps", type=int, default=100)
    parser.add_argument("--precision", default="bfloat16")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    out = Path(options.out)
    wanted = [c for c in cells() if any(part in c.name for part in options.only.split(","))]
    missing = [c for c in wanted if not (out / f"{c.name}.json").exists()]
    print(f"{len(wanted) - len(missing)} of {len(wanted)} cells are done", flush=True)
    if options.list:
        print("\n".join(("      " if c in missing else "done  ") + c.name for c in wanted))
        return
    study = Study(options)
    try:
        for cell in missing:
            run(study, cell)
    except Over:
        print(f"{options.minutes:g} minutes are over; the same command goes on")
    (out / "table.md").write_text(table(out) + "\n")
    print(table(out))


if __name__ == "__main__":
    sys.exit(main())
