"""Does choosing images by k-means teach an interpreter more than choosing them at random?

    LABELFACTORY_DATA=... python benchmarks/selection.py --generator builtin:nuclei64 --out runs/selection

A U-Net trained on the human masks of nuclei64's training crops stands in for the person: it labels every image of the
generator that anybody asks for. For 5 seeds, 4, 8 and 16 images: choose, label, train the interpreter with the same
settings, and compare its masks with the U-Net's on 200 other images. Every finished line is kept, so the script may be
stopped and started; --minutes stops it by itself.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from nuclei import load_nuclei

from labelfactory.factory.evaluation.metrics import confusion_matrix, scores
from labelfactory.factory.families import open_generator
from labelfactory.factory.heads.classes import InterpreterSettings, train_interpreter
from labelfactory.factory.labels.feature_maps import load_labels
from labelfactory.factory.labels.selection import (
    blank_samples,
    candidate_seeds,
    choose_diverse,
    describe_candidates,
    sample_label_set,
)
from labelfactory.factory.latents import latents
from labelfactory.factory.pairs.pairs import ArrayPairs
from labelfactory.factory.segmenters.inference import predict as segment
from labelfactory.factory.segmenters.settings import TrainingConfig
from labelfactory.factory.segmenters.training import train_segmenter
from labelfactory.factory.segmenters.unet import UNet
from labelfactory.interpreters.labelset import LabelSet

NUCLEI_CLASSES = load_labels("builtin:nuclei64").classes

TEST_IMAGES, CANDIDATES, TRUNCATION = 200, 512, 0.8
BUDGETS, SEEDS = (4, 8, 16), range(5)


def labeller(folder: Path, steps: int) -> UNet:
    """The U-Net that stands in for a person; ``folder`` keeps it."""
    model, path = UNet(1, 3, width=32, depth=3), folder / "labeller.pt"
    if path.exists():
        model.load_state_dict(torch.load(path, weights_only=True))
        return model.eval()
    images, masks, names, source = load_nuclei("train")
    config = TrainingConfig(steps=steps, batch_size=32, validate_every=100, average=0.995)
    model, _ = train_segmenter(
        model, ArrayPairs(images, masks, names=names, groups=source), config, None, folder / "run.pt"
    )
    torch.save(model.state_dict(), path)
    return model.eval()


def label(model: UNet, image: np.ndarray) -> np.ndarray:
    return segment(model, image).argmax(0).astype(np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--generator", default="builtin:nuclei64")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--labeller-steps", type=int, default=800)
    args = parser.parse_args()
    end = time.monotonic() + 60 * args.minutes
    args.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    model = labeller(args.out, args.labeller_steps)
    if not (args.out / "results.jsonl").exists():
        images, crops, _, _ = load_nuclei("val")
        matrix = sum(confusion_matrix(m, label(model, i), 3) for i, m in zip(images[::4], crops[::4], strict=True))
        print(
            f"labeller on {len(images[::4])} human-labelled val crops: mIoU {float(scores(matrix).miou):.3f}",
            flush=True,
        )
    generator = open_generator(args.generator, "cpu")
    test = candidate_seeds(TEST_IMAGES, 10**6)
    batches = [
        generator.generate(latents(test[i : i + 10], generator.latent_shape), TRUNCATION)
        for i in range(0, len(test), 10)
    ]
    truth = [np.stack([label(model, i) for i in batch.images.numpy()]) for batch in batches]
    path = args.out / "results.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    done = {(r["strategy"], r["count"], r["seed"]) for r in rows}
    for seed in SEEDS:
        for strategy in ("random", "kmeans"):
            for count in BUDGETS:
                if (strategy, count, seed) in done:
                    continue
                if time.monotonic() > end:
                    report(rows)
                    return
                labels = choose(generator, strategy, count, seed, args.out)
                samples = tuple(s._replace(mask=label(model, s.image)) for s in labels)
                labels = LabelSet(labels.classes, samples, labels.generator_uri, labels.generator_sha256, TRUNCATION)
                began = time.monotonic()
                interpreter = train_interpreter(generator, labels, InterpreterSettings(seed=seed), progress=False)
                seconds = time.monotonic() - began
                matrix = np.zeros((3, 3), dtype=np.int64)
                for batch, masks in zip(batches, truth, strict=True):
                    matrix += confusion_matrix(masks, interpreter.predict(batch.feature_maps).mask.numpy(), 3)
                result = scores(matrix)
                row = {"strategy": strategy, "count": count, "seed": seed, "miou": float(result.miou)}
                rows.append(row | {"iou": result.iou.tolist(), "training_seconds": seconds})
                with path.open("a") as file:
                    file.write(json.dumps(rows[-1]) + "\n")
                print(rows[-1], flush=True)
    report(rows)


def choose(generator, strategy: str, count: int, seed: int, folder: Path) -> LabelSet:
    """As ``factory sample`` chooses; the candidates' features of a seed are computed once for all counts."""
    if strategy == "random":
        return sample_label_set(generator, "", count, NUCLEI_CLASSES, "random", seed=seed, truncation=TRUNCATION)
    seeds, path = candidate_seeds(CANDIDATES, seed), folder / f"candidates{seed}.npy"
    if not path.exists():
        np.save(path, describe_candidates(generator, seeds, TRUNCATION, progress=False)[0])
    chosen = [seeds[i] for i in choose_diverse(np.load(path), count, seed)]
    return LabelSet(
        NUCLEI_CLASSES, tuple(blank_samples(generator, chosen, TRUNCATION)), "", generator.sha256, TRUNCATION
    )


def report(rows: list[dict]) -> None:
    """Mean and standard deviation over seeds, as a table."""
    print("\n| labels | random | k-means | seeds |\n|---|---|---|---|")
    for count in BUDGETS:
        cells = []
        for strategy in ("random", "kmeans"):
            found = [r["miou"] for r in rows if r["strategy"] == strategy and r["count"] == count]
            cells.append(f"{np.mean(found):.4f} ± {np.std(found, ddof=1):.4f}" if len(found) > 1 else "-")
        print(f"| {count} | {cells[0]} | {cells[1]} | {len(found)} |")


if __name__ == "__main__":
    main()
