"""What are restored labels worth to the factory? Sixteen nuclei masks whole, degraded, and degraded and restored.

    LABELFACTORY_DATA=... python benchmarks/restored_labels.py --out runs/restored_labels [--degrade scribble]

The bundled label set's 16 masks are degraded. From the whole, the degraded and the restored ones (by the mask alone, or
by it with the picture) an interpreter learns, pairs are made, a segmenter learns from those and is scored on real val
crops. The restorers learn from train crops, whose masks people drew whole: other pictures of the same kind, as a lab
has from earlier work. A cell is one row and seed, kept as JSON; the script may be stopped and started, and --minutes
stops it by itself. --masks only compares the 16 masks with the whole ones.
"""

import argparse
import json
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from nuclei import load_nuclei
from PIL import Image

from labelfactory.factory.evaluation.metrics import confusion_matrix, scores
from labelfactory.factory.labels.feature_maps import load_labels
from labelfactory.factory.production.line import produce
from labelfactory.factory.production.order import Order
from labelfactory.factory.production.prepare import prepare
from labelfactory.factory.segmenters.order import EvaluationOrder, HumanLabels, SegmenterOrder
from labelfactory.factory.segmenters.predicting import evaluate_segmenter
from labelfactory.factory.segmenters.rounds import train_rounds
from labelfactory.factory.segmenters.settings import TrainingConfig
from labelfactory.factory.translation.completing import complete
from labelfactory.factory.translation.degrade import parse_degradation
from labelfactory.factory.translation.order import RestorerOrder
from labelfactory.factory.translation.restorer_learning import train_restorer
from labelfactory.factory.translation.settings import LearningSettings
from labelfactory.interpreters.labelset import LabelSet

GENERATOR = "builtin:nuclei64"
CROPS, PAIRS, STEPS = 400, 2000, 1500
LEARNING = LearningSettings(kimg=4.0, batch_size=8, learning_rate=2e-3, average=0.99)
ROWS = ("whole", "degraded", "restored", "restored with picture")


def folder_of(split: str, out: Path, most: int) -> Path:
    """Crops with masks as a labelled folder."""
    folder = out / split
    if not (folder / "classes.json").exists():
        images, masks, names, _ = load_nuclei(split)
        chosen = np.random.default_rng(0).permutation(len(images))[:most]
        for kind in ("images", "masks"):
            (folder / kind).mkdir(parents=True, exist_ok=True)
        for i in chosen.tolist():
            stem = Path(names[i]).stem
            Image.fromarray(images[i, ..., 0]).save(folder / "images" / f"{stem}.png")
            Image.fromarray(masks[i]).save(folder / "masks" / f"{stem}.png")
        classes = [asdict(c) for c in load_labels(GENERATOR).classes]
        (folder / "classes.json").write_text(json.dumps(classes))
    return folder


def restorer(out: Path, degrade: str, image: bool) -> Path:
    """Trained on whole masks of other crops, once."""
    path = out / f"restorer-{degrade}-{'image' if image else 'mask'}.safetensors"
    order = RestorerOrder((str(folder_of("train", out, CROPS)),), degrade, path, image=image, settings=LEARNING)
    train_restorer(order)
    return path


def labels_of(row: str, degrade: str, seed: int, out: Path) -> LabelSet:
    whole = load_labels(GENERATOR)
    if row == "whole":
        return whole
    way, rng = parse_degradation(degrade), np.random.default_rng(seed)
    degraded = replace(whole, samples=tuple(s._replace(mask=way(s.mask, rng)) for s in whole))
    if row == "degraded":
        return degraded
    return complete(degraded, restorer(out, degrade, row.endswith("picture")))[0]


def miou_of_masks(labels: LabelSet) -> dict[str, float]:
    """Of the 16 masks against the whole ones; what is not labelled counts as wrong."""
    whole, count = load_labels(GENERATOR), len(labels.classes)
    total = np.zeros((count, count + 1))
    for a, b in zip(whole, labels, strict=True):
        total += confusion_matrix(a.mask, np.where(b.mask == 255, count, b.mask), count + 1)[:count]
    square = np.concatenate([total, np.zeros((1, count + 1))])
    return {"miou": float(np.mean(scores(square).iou[:count])), "labelled": float(1 - total[:, -1].sum() / total.sum())}


def cell(row: str, degrade: str, seed: int, out: Path) -> dict[str, float]:
    """A segmenter by these labels, scored on all val crops."""
    labels = labels_of(row, degrade, seed, out)
    place = out / f"{degrade}-{row.replace(' ', '-')}-{seed}"
    if not (place / "labels").exists():
        place.mkdir(parents=True, exist_ok=True)
        labels.save(place / "labels")
    order = Order(GENERATOR, str(place / "pairs.zarr"), PAIRS, labels=str(place / "labels"), seed=seed)
    produce(prepare(order))
    training = TrainingConfig(steps=STEPS, seed=seed)
    train_rounds(SegmenterOrder((order.out,), place / "segmenter.safetensors", training=training))
    people = HumanLabels(folder_of("val", out, 10**6))
    found, _ = evaluate_segmenter(EvaluationOrder(place / "segmenter.safetensors", people, place / "report"))
    return {"miou": found.overall["miou"].value, "labels": miou_of_masks(labels)["miou"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--degrade", default="sparse")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=1e9, help="No cell is begun after these.")
    parser.add_argument("--masks", action="store_true", help="Only compare the masks.")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    if given.masks:
        for row in ROWS:
            found = [miou_of_masks(labels_of(row, given.degrade, seed, given.out)) for seed in range(given.seeds)]
            told = ", ".join(f"{name} {100 * np.mean([f[name] for f in found]):.1f} %" for name in found[0])
            print(f"{row:24} {told}", flush=True)
        return
    for seed in range(given.seeds):
        for row in ROWS:
            target = given.out / f"{given.degrade}-{row.replace(' ', '-')}-{seed}.json"
            if not target.exists() and time.monotonic() - began < given.minutes * 60:
                target.write_text(json.dumps(cell(row, given.degrade, seed, given.out)))
            if target.exists():
                print(f"{row:24} seed {seed} {target.read_text()}", flush=True)


if __name__ == "__main__":
    main()
