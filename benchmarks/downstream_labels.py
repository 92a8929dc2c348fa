"""Where do labels lose: in the inversion, in what people drew, or in how few there are?

    python benchmarks/downstream_labels.py --data DATA/nuclei64 --out study --labels 16

Interpreters are trained on the same crops, or as many generated images, with masks of different origin, and label 400
new images. A row says how well they agree there with the segmenter of ``upper`` (all 11,179 labels): mIoU, and the
share of pixels that they take for an object, or for ground, where it does not. Reads and extends a study of
``benchmarks/downstream.py``; the inverted crops are those of its interpreters.
"""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from downstream import Study, inverted_crops, parse, segment
from downstream_cells import LABELS

from factory.downstream.catalogue import load_segmenter
from factory.downstream.metrics import confusion_matrix, scores
from factory.downstream.segmenter import Segmenter
from factory.generators import Generated, ImageGenerator, open_generator
from factory.interpreting import train_interpreter
from interpreters import StyleInterpreter
from interpreters.labelset import LabelSet, Sample

TEST_IMAGES, BATCH = 400, 20


def generated_labels(generator: ImageGenerator, upper: Segmenter, like: LabelSet, count: int, seed: int) -> LabelSet:
    """Generated images with the upper bound's masks, as a label set."""
    z = np.random.default_rng(seed).standard_normal((count, generator.z_dim), dtype=np.float32)
    images = generator.generate(z, 1.0).images.numpy()
    ws = generator.map(z, 1.0).numpy()
    masks = segment(upper, images)
    rows = zip(images, masks, ws, strict=True)
    return replace(like, samples=tuple(Sample(f"g{i}", image, mask, w) for i, (image, mask, w) in enumerate(rows)))


def run(study: Study, labels: int, seed: int) -> dict[str, np.ndarray]:
    """Confusion (rows: upper's class, columns: the interpreter's) for each origin of the masks."""
    generator = open_generator(study.options.generator, "cpu")
    upper, _ = load_segmenter(study.upper(seed))
    inverted, reconstructions, _ = inverted_crops(study, generator, labels, seed)
    z = np.random.default_rng(1000 + seed).standard_normal((TEST_IMAGES, generator.z_dim), dtype=np.float32)
    made = [generator.generate(z[i : i + BATCH], 1.0) for i in range(0, TEST_IMAGES, BATCH)]
    truth = segment(upper, np.concatenate([m.images.numpy() for m in made]))

    def drawn(images: np.ndarray) -> LabelSet:
        masks = segment(upper, images)
        return replace(
            inverted, samples=tuple(s._replace(mask=m) for s, m in zip(inverted.samples, masks, strict=True))
        )

    origins = {
        "people, inverted crops (the factory)": inverted,
        "upper, of the real crops, inverted": drawn(np.stack([s.image for s in inverted.samples])),
        "upper, of the reconstructions, inverted": drawn(reconstructions),
        f"upper, {labels} generated images": generated_labels(generator, upper, inverted, labels, seed),
        f"upper, {8 * labels} generated images": generated_labels(generator, upper, inverted, 8 * labels, seed),
    }
    found = {}
    for name, training in origins.items():
        interpreter = train_interpreter(generator, training, study.interpreter_settings(seed), progress=False)
        found[name] = confusion_matrix(truth, labelled(interpreter, made, study.options.precision), 3)
    return found


def labelled(interpreter: StyleInterpreter, made: list[Generated], precision: str) -> np.ndarray:
    """The interpreter's masks."""
    return np.concatenate([np.asarray(interpreter.predict(m.feature_maps, precision).mask) for m in made])


def main(arguments: list[str] | None = None) -> None:
    """Print the table, mean over seeds."""
    options = parse(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    study = Study(options)
    counts = (16,) if options.labels == LABELS else options.labels
    print("| labels | masks from | agreement | objects where upper sees ground | ground where upper sees objects |")
    print("|---:|---|---:|---:|---:|")
    for n in counts:
        seeds = [run(study, n, seed) for seed in options.seeds]
        for name in seeds[0]:
            shares = [found[name] / found[name].sum() for found in seeds]
            agreement = np.mean([scores(found[name]).miou for found in seeds])
            more, less = np.mean([s[0, 1:].sum() for s in shares]), np.mean([s[1:, 0].sum() for s in shares])
            print(f"| {n} | {name} | {100 * agreement:.1f} | {100 * more:.1f} % | {100 * less:.1f} % |", flush=True)


if __name__ == "__main__":
    main()
