"""How well do real crops invert, and what do their human masks and keypoints teach through the latents?

    LABELFACTORY_DATA=... python benchmarks/inversion.py --generator builtin:nuclei64 --out runs/inversion

64 crops of nuclei64's validation split are inverted: 16 for training and 48 for testing, from different source
images. An interpreter, and a keypoint regressor for the centre and the ends of the major axis of the centred nucleus,
learn from the 16 crops' latents and human masks, once from the crops alone and once from all their eight views; both
are compared with the human masks of the 48. Finished latents are kept, so the script may be stopped and started;
--minutes stops it by itself.
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
from labelfactory.factory.labels.encoder import ensure_encoder
from labelfactory.factory.labels.feature_maps import load_labels
from labelfactory.factory.labels.inversion import InversionSettings, invert
from labelfactory.factory.labels.real_images import invert_label_set, unlabelled
from labelfactory.factory.labels.views import with_views
from labelfactory.interpreters.keypoints import (
    AXIS_KEYPOINTS,
    axis_keypoints,
    heatmaps,
    mean_error,
    pck,
    predict_keypoints,
)
from labelfactory.interpreters.labelset import LabelSet
from labelfactory.interpreters.regression import FeatureRegressor
from labelfactory.interpreters.sheet import comparison_sheet

NUCLEI_CLASSES = load_labels("builtin:nuclei64").classes

TRAIN, TEST = 16, 48
THRESHOLDS = (1.0, 2.0, 3.0, 5.0)


def pick(source: list[str]) -> tuple[list[int], list[int]]:
    """Crops for training and testing, of different source images."""
    rng = np.random.default_rng(0)
    images = rng.permutation(sorted(set(source)))
    ours = set(images[: len(images) // 4])
    order = rng.permutation(len(source))
    return [i for i in order if source[i] in ours][:TRAIN], [i for i in order if source[i] not in ours][:TEST]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--generator", default="builtin:nuclei64")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--encoder-steps", type=int, default=400)
    parser.add_argument("--min-fidelity", type=float, default=0.8)
    args = parser.parse_args()
    end = time.monotonic() + 60 * args.minutes
    args.out.mkdir(parents=True, exist_ok=True)
    generator = open_generator(args.generator, "cpu")
    encoder = ensure_encoder(generator, args.out, args.encoder_steps)
    settings = InversionSettings(steps=args.steps)
    images, masks, names, source = load_nuclei("val")
    train, test = pick(source)
    chosen = [*train, *test]
    print(
        f"{len(train)} crops of {len({source[i] for i in train})} source images to learn from, "
        f"{len(test)} of {len({source[i] for i in test})} others to test"
    )
    labels = unlabelled(
        generator, args.generator, [Path(names[i]).stem for i in chosen], images[chosen], NUCLEI_CLASSES, 0.7
    )
    samples = [s._replace(mask=masks[i]) for s, i in zip(labels, chosen, strict=True)]
    taught = LabelSet(NUCLEI_CLASSES, tuple(samples[:TRAIN]), args.generator, generator.sha256)
    samples += [s for s in with_views(taught, "dihedral") if s.group != s.name]
    for start in range(0, len(samples), settings.batch):
        if time.monotonic() > end:
            print(f"stopped before crop {start}; start again to go on")
            return
        part = LabelSet(NUCLEI_CLASSES, tuple(samples[start : start + settings.batch]), "", generator.sha256)
        began = time.monotonic()
        _, fared, _ = invert_label_set(generator, part, args.out / "latents", encoder, settings)
        seconds = time.monotonic() - began
        if seconds > 1:
            print(f"{seconds / len(part):.2f} s per image, {np.mean([f.steps for f in fared]):.0f} steps", flush=True)
    count = TRAIN + TEST  # views come behind
    everything = LabelSet(NUCLEI_CLASSES, tuple(samples), args.generator, generator.sha256)
    inverted, fared, reconstructions = invert_label_set(
        generator, everything, args.out / "latents", encoder, settings, keep_poor=True
    )
    captions = [f"{f.fidelity:.2f}" for f in fared[:count]]
    comparison_sheet([s.image for s in samples[:count]], list(reconstructions[:count]), captions).save(
        args.out / "reconstructions.png"
    )
    guess = invert(generator, images[chosen], encoder, InversionSettings(steps=0), progress=False)
    blind = invert(generator, images[chosen], None, None, InversionSettings(steps=0), progress=False)
    fidelity, psnr = (np.array([getattr(f, name) for f in fared[:count]]) for name in ("fidelity", "psnr"))
    result = {
        "generator_sha256": generator.sha256,
        "fidelity": {"mean": fidelity.mean(), "median": np.median(fidelity), "lowest": fidelity.min()},
        "fidelity of the encoder's guess": guess.fidelity.mean(),
        "fidelity of the mean image": blind.fidelity.mean(),
        "psnr": psnr.mean(),
        "kept": int((fidelity >= args.min_fidelity).sum()),
    }
    held_out = list(inverted.samples[TRAIN:count])
    for name, taught_by in (
        ("crops alone", inverted.samples[:TRAIN]),
        ("eight views", inverted.samples[:TRAIN] + inverted.samples[count:]),
    ):
        result[name] = {"train": len(taught_by), "test": TEST}
        result[name] |= evaluate(generator, inverted, list(taught_by), held_out)
    (args.out / "result.json").write_text(json.dumps(result, indent=1, default=float) + "\n")
    print(json.dumps(result, indent=1, default=float))


def evaluate(generator, labels: LabelSet, train: list, test: list) -> dict[str, object]:
    """mIoU and keypoint errors on ``test`` after learning from ``train``."""
    learned = LabelSet(labels.classes, tuple(train), labels.generator_uri, labels.generator_sha256)
    interpreter = train_interpreter(generator, learned, InterpreterSettings(), progress=False)
    regressor = FeatureRegressor(generator.feature_channels, AXIS_KEYPOINTS, "keypoints")

    def maps(sample) -> list[torch.Tensor]:
        return generator.generate(sample.latent[None]).feature_maps

    shown = ((maps(s), heatmaps(torch.tensor(axis_keypoints(s.mask)), *s.mask.shape, regressor.sigma)) for s in train)
    regressor.fit(shown, progress=False, heatmaps=True)
    matrix, points = np.zeros((3, 3), dtype=np.int64), []
    for s in test:
        features = maps(s)
        matrix += confusion_matrix(s.mask, interpreter.predict(features).mask[0].numpy(), 3)
        points.append(predict_keypoints(regressor, features).points[0].numpy())
    found, truth = np.stack(points), np.stack([axis_keypoints(s.mask) for s in test])
    average = np.repeat(np.mean([axis_keypoints(s.mask) for s in train], 0)[None], len(test), 0)
    shares = pck(found, truth, THRESHOLDS)
    return {
        "miou": float(scores(matrix).miou),
        "iou": scores(matrix).iou.tolist(),
        "pck": {
            f"{t:g} px": dict(zip(AXIS_KEYPOINTS, row.tolist(), strict=True))
            for t, row in zip(THRESHOLDS, shares, strict=True)
        },
        "mean error px": dict(zip(AXIS_KEYPOINTS, mean_error(found, truth).tolist(), strict=True)),
        "mean error of the training mean px": dict(
            zip(AXIS_KEYPOINTS, mean_error(average, truth).tolist(), strict=True)
        ),
    }


if __name__ == "__main__":
    main()
