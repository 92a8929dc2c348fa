"""Objects from few labels: nuclei64, networks trained on labelled crops alone, on factory pairs, on all labels.

    python benchmarks/objects.py --data DATA/nuclei64 --out objects-study --minutes 12   # as often as needed
    python benchmarks/objects.py --data DATA/nuclei64 --out objects-study --list
    python benchmarks/objects.py --data DATA/nuclei64 --out objects-study --only factory-01,labelled-01

Each cell (network, method, number of labels) is one result file, and what cells share (latents, models, pairs) lies
beside them. What is there is not made again: the study runs in pieces and survives being killed. Methods:
``labelled`` (the N crops alone), ``factory`` (the N crops by inversion to an interpreter and regressors of centres and
key points, to pairs; and the N crops as a quarter of all), ``all`` (all train labels). All train the same network for
the same steps with the same augmentation; nothing is chosen on val. The hourglass finds key points (centre and ends of
the long axis of the nucleus in the middle), the others objects. Scores are of val crops of all its pictures, evenly
spaced; their intervals draw whole source pictures. Seconds are of one core.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from objects_parts import CLASSES, OBJECTS, POINTS, Over, Study
from scipy import ndimage

from labelfactory.factory.evaluation.evaluation import Evaluation, evaluate
from labelfactory.factory.evaluation.instances import objects_of, overlaps
from labelfactory.factory.evaluation.predicted import Predicted
from labelfactory.factory.pairs.augmentation import PRESETS
from labelfactory.factory.pairs.pairs import Pair
from labelfactory.factory.segmenters.catalogue import build_network
from labelfactory.factory.segmenters.inference import judged
from labelfactory.factory.segmenters.network import Network
from labelfactory.factory.segmenters.settings import TrainingConfig
from labelfactory.factory.segmenters.tasks import Aim
from labelfactory.factory.segmenters.training import train_segmenter
from labelfactory.whole_files import whole_file

NETWORKS: dict[str, dict[str, Any]] = {
    "panoptic-deeplab": {"width": 16},
    "centernet": {"width": 16},
    "eomt-tiny": {},
    "hourglass": {"features": 32, "depth": 3},
}
SHOWN = {"instance": ("ap50", "ap", "panoptic_quality", "aji"), "keypoints": ("pck5", "pck", "oks")}
LABELS = (1, 4, 16)


class Cell(NamedTuple):
    network: str
    method: str
    labels: int

    @property
    def name(self) -> str:
        return f"{self.network}-{self.method}-{self.labels:02d}"

    @property
    def aim(self) -> Aim:
        return POINTS if self.network == "hourglass" else OBJECTS


def cells() -> list[Cell]:
    """The most telling first."""
    found = []
    for network in NETWORKS:
        for n in LABELS:
            found += [Cell(network, "labelled", n), Cell(network, "factory", n)]
        found.append(Cell(network, "all", 0))
    return found


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
    options, pairs = study.options, study.pairs(cell.aim, cell.method, cell.labels)
    config = TrainingConfig(
        steps=options.steps,
        batch_size=options.batch_size,
        learning_rate=5e-4 if cell.network == "eomt-tiny" else 2e-3,
        augmentation=PRESETS["in-place" if cell.aim is OBJECTS else "upright"],
        average=0.99,
        validate_every=50,
        precision=options.precision,
        seed=options.seed,
    )
    torch.manual_seed(options.seed)
    network = build_network(cell.network, 1, cell.aim, **NETWORKS[cell.network])
    checkpoint = study.out / f"{cell.name}.checkpoint"
    with study.stage(f"training {cell.name}"):
        trained, report = train_segmenter(network, pairs, config, checkpoint=checkpoint, progress=False)
    with study.stage(f"judging {cell.name}"):
        result, recall = scored(study, cell, trained)
    told = {k: [round(v, 4) for v in (s.value, s.low, s.high)] for k, s in result.overall.items()}
    record = {
        "cell": cell._asdict(),
        "scores": told,
        **recall,
        "pairs": len(pairs),
        "crops": result.images,
        "pictures": result.groups,
        "training_seconds": study.seconds()[f"training {cell.name}"],
        "losses": [row["loss"] for row in report.history],
    }
    with whole_file(study.out / f"{cell.name}.json") as file:
        file.write(json.dumps(record, indent=1).encode())
    checkpoint.unlink(missing_ok=True)
    print(f"{cell.name}: {', '.join(f'{k} {told[k]}' for k in SHOWN[cell.aim.task])}", flush=True)


def scored(study: Study, cell: Cell, network: Network) -> tuple[Evaluation, dict[str, float]]:
    """Scores on val; of objects also the share of those found that touch others, and of those that do not."""
    counts = np.zeros(4, np.int64)

    def seen() -> Iterator[tuple[Pair, Predicted]]:
        nonlocal counts
        for pair, said in judged(network, study.judged_on(cell.aim), progress=False):
            if cell.aim is OBJECTS:
                counts = counts + touching(pair, said)
            yield pair, said

    result = evaluate(seen(), CLASSES, 400, 0, cell.aim.keypoints)
    names = ("touching", "alone")
    found = {f"recall_{name}": int(counts[2 * i]) / max(1, int(counts[2 * i + 1])) for i, name in enumerate(names)}
    return result, found | {name: int(counts[2 * i + 1]) for i, name in enumerate(names)}


def table(out: Path) -> str:
    """All cells that are done, in per cent with intervals: those of objects, then those of key points."""
    texts = []
    for task, heads in {
        "instance": ["AP50", "AP", "PQ", "AJI", "touching found", "alone found"],
        "keypoints": ["PCK at 3.2 px", "PCK at 6.4 px", "OKS"],
    }.items():
        titles = ["network", "trained on", *heads, "training, s"]
        lines = ["| " + " | ".join(titles) + " |", "|" + "---|" * (len(titles) - 1) + "---:|"]
        for cell in cells():
            path = out / f"{cell.name}.json"
            if cell.aim.task != task or not path.exists():
                continue
            r = json.loads(path.read_text())
            shown = [r["scores"][k] for k in SHOWN[task]]
            row = [cell.network, f"{cell.method}, {cell.labels} labels" if cell.labels else "all labels"]
            row += [f"{100 * v:.1f} ({100 * a:.1f} to {100 * b:.1f})" for v, a, b in shown]
            if task == "instance":
                row += [f"{100 * r['recall_touching']:.1f}", f"{100 * r['recall_alone']:.1f}"]
            lines.append("| " + " | ".join([*row, f"{r['training_seconds']:.0f}"]) + " |")
        texts.append("\n".join(lines))
    return "\n\n".join(texts)


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
    parser.add_argument("--encoder-steps", type=int, default=400)
    parser.add_argument("--inversion-steps", type=int, default=100)
    parser.add_argument("--min-fidelity", type=float, default=0.8, help="views that are inverted worse are left out")
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
