"""Where do labels lose: in the inversion, in what people drew, or in how few there are?

    python benchmarks/downstream_labels.py --data DATA/nuclei64 --out study --labels 16

Interpreters are trained on the same crops, or on generated images, with masks of different origin, and label 1,000 new
images. A row says what a segmenter trained on those reaches on val, how well the labels agree with the segmenter of
``upper`` (all 11,179 labels), both as mIoU, and the share of pixels that they take for an object, or for ground, where
it does not. Reads and extends a study of ``benchmarks/downstream.py``; the inverted crops are those of its
interpreters, and what has been measured is kept there.
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from downstream import Study, confusion, inverted_crops, parse
from downstream_cells import LABELS, Cell
from downstream_parts import keep, segment, training_config
from downstream_starts import begin

from labelfactory.factory.evaluation.metrics import scores
from labelfactory.factory.families import open_generator
from labelfactory.factory.generator import Generated, ImageGenerator
from labelfactory.factory.heads.classes import train_interpreter
from labelfactory.factory.pairs.pairs import ArrayPairs
from labelfactory.factory.segmenters.catalogue import load_segmenter
from labelfactory.factory.segmenters.segmenter import Segmenter
from labelfactory.factory.segmenters.training import train_segmenter
from labelfactory.interpreters.labelset import LabelSet, Sample

BATCH = 20
COLUMNS = ("labels", "masks from", "mIoU on val", "agreement", "objects where upper sees ground")
COLUMNS += ("ground where upper sees objects",)


def label_sets(
    study: Study, generator: ImageGenerator, upper: Segmenter, labels: int, seed: int
) -> dict[str, Callable[[], LabelSet]]:
    """What makes the label set of each origin: whose masks, on which images."""
    inversion = cache(lambda: inverted_crops(study, generator, labels, seed))

    def people() -> LabelSet:
        return inversion()[0]

    def drawn(images: np.ndarray) -> LabelSet:
        rows = zip(people().samples, segment(upper, images), strict=True)
        return replace(people(), samples=tuple(sample._replace(mask=mask) for sample, mask in rows))

    def generated(count: int) -> LabelSet:
        return generated_labels(generator, upper, people(), count, seed)

    return {
        "people, inverted crops (the factory)": people,
        "upper, of the real crops, inverted": lambda: drawn(np.stack([s.image for s in people().samples])),
        "upper, of the reconstructions, inverted": lambda: drawn(inversion()[1]),
        f"upper, {labels} generated images": lambda: generated(labels),
        f"upper, {8 * labels} generated images": lambda: generated(8 * labels),
    }


def generated_labels(generator: ImageGenerator, upper: Segmenter, like: LabelSet, count: int, seed: int) -> LabelSet:
    """Generated images with the upper bound's masks, as a label set."""
    z = np.random.default_rng(seed).standard_normal((count, *generator.latent_shape), dtype=np.float32)
    images = generator.generate(z, 1.0).images.numpy()
    ws = generator.map(z, 1.0).numpy()
    rows = zip(images, segment(upper, images), ws, strict=True)
    return replace(like, samples=tuple(Sample(f"g{i}", image, mask, w) for i, (image, mask, w) in enumerate(rows)))


def new_images(study: Study, generator: ImageGenerator, seed: int) -> Iterator[Generated]:
    """A tenth as many images as a cell of the study has, in batches, with their feature maps."""
    count = max(BATCH, study.options.pairs // 10)
    z = np.random.default_rng(1000 + seed).standard_normal((count, *generator.latent_shape), dtype=np.float32)
    for i in range(0, count, BATCH):
        yield generator.generate(z[i : i + BATCH], 1.0)


def measure(study: Study, labels: int, seed: int) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Confusion of each origin's labels (rows: upper's class), and on val of the segmenter trained on them."""
    generator = open_generator(study.options.generator, "cpu")
    upper, _ = load_segmenter(study.upper(seed))
    for i, (name, label_set) in enumerate(label_sets(study, generator, upper, labels, seed).items()):
        path = study.out / "labels" / f"n{labels:02d}_s{seed}_{i}.npz"
        if not path.exists():
            interpreter = train_interpreter(generator, label_set(), study.interpreter_settings(seed), progress=False)
            images, masks = [], []
            for made in new_images(study, generator, seed):
                images.append(made.images.numpy())
                masks.append(np.asarray(interpreter.predict(made.feature_maps, study.options.precision).mask))
            pairs = ArrayPairs(np.concatenate(images), np.concatenate(masks))
            untrained = begin(study, Cell("", labels, seed))
            trained, _ = train_segmenter(untrained, pairs, training_config(study.options, seed), device=study.device)
            keep(path, agreement=confusion(study, upper, pairs).T, val=confusion(study, trained, study.val_set))
        with np.load(path) as found:
            yield name, found["agreement"], found["val"]


def main(arguments: list[str] | None = None) -> None:
    """Measure what is missing, then print the table, mean over seeds."""
    options = parse(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    study = Study(options)
    print(f"| {' | '.join(COLUMNS)} |\n|---:|---|---:|---:|---:|---:|")
    for n in (16,) if options.labels == LABELS else options.labels:
        seeds = [list(measure(study, n, seed)) for seed in options.seeds]
        for rows in zip(*seeds, strict=True):
            agreement, miou = (np.mean([scores(row[k]).miou for row in rows]) for k in (1, 2))
            shares = [row[1] / row[1].sum() for row in rows]
            more, less = np.mean([s[0, 1:].sum() for s in shares]), np.mean([s[1:, 0].sum() for s in shares])
            cells = (str(n), rows[0][0], f"{100 * miou:.1f}", f"{100 * agreement:.1f}", f"{more:.1%}", f"{less:.1%}")
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
