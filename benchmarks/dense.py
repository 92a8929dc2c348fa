"""What do distances and objects' centres, learned from human masks of real crops, bring on other crops?

    LABELFACTORY_DATA=... python benchmarks/dense.py --generator builtin:nuclei64 --out runs/inversion

The 64 crops of benchmarks/inversion.py (whose finished latents in --out are used): 16 teach, 48 of other source images
test. Values: each pixel's distance to the border of the nucleus in the middle, in pixels, 0 outside; against always
saying the mean of the training pixels, against the mean at that place of the image (crops are centred), and against
the distance computed from an interpreter's mask. Objects: numbered by connected regions, by a boundary class and by a
heatmap of centres, against the human instances.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from inversion import TEST, TRAIN, pick
from nuclei import load_objects
from PIL import Image
from scipy import ndimage

from labelfactory.factory.evaluation.instances import Matches, PanopticCounts, average_precision, match, objects_of
from labelfactory.factory.families import open_generator
from labelfactory.factory.generator import ImageGenerator
from labelfactory.factory.heads.centres import train_centres
from labelfactory.factory.heads.classes import InterpreterSettings, train_interpreter
from labelfactory.factory.heads.values import train_values
from labelfactory.factory.labels.encoder import ensure_encoder
from labelfactory.factory.labels.feature_maps import load_labels
from labelfactory.factory.labels.inversion import InversionSettings
from labelfactory.factory.labels.real_images import invert_label_set, unlabelled
from labelfactory.interpreters.channels import ValueChannel
from labelfactory.interpreters.classes import LabelClass
from labelfactory.interpreters.instances import label_instances
from labelfactory.interpreters.labelset import LabelSet, Sample
from labelfactory.interpreters.sheet import heat
from labelfactory.interpreters.values import predict_values
from labelfactory.masks import BOUNDARY

NUCLEI_CLASSES = load_labels("builtin:nuclei64").classes

THINGS = (1, 2)
COUNTS = ("iou_sum", "true_positives", "false_positives", "false_negatives")
FAR = 32.0  # pixels, half a crop


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--generator", default="builtin:nuclei64")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--encoder-steps", type=int, default=400)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    generator = open_generator(args.generator, "cpu")
    images, objects, names, source = load_objects("val")
    chosen = [i for part in pick(source) for i in part]
    labels = unlabelled(
        generator, args.generator, [Path(names[i]).stem for i in chosen], images[chosen], NUCLEI_CLASSES, 0.7
    )
    samples = [s._replace(mask=np.minimum(objects[i], 2).astype(np.uint8)) for s, i in zip(labels, chosen, strict=True)]
    labels = LabelSet(NUCLEI_CLASSES, tuple(samples), args.generator, generator.sha256)
    inverted, _, _ = invert_label_set(
        generator,
        labels,
        args.out / "latents",
        ensure_encoder(generator, args.out, args.encoder_steps),
        InversionSettings(steps=args.steps),
        keep_poor=True,
    )
    numbers = {s.name: objects[i].astype(np.int64) for s, i in zip(inverted, chosen, strict=True)}
    taught = LabelSet(NUCLEI_CLASSES, inverted.samples[:TRAIN], args.generator, generator.sha256)
    tested = inverted.samples[TRAIN : TRAIN + TEST]
    maps = {s.name: generator.generate(s.latent[None]).feature_maps for s in tested}
    interpreter = train_interpreter(generator, taught, InterpreterSettings())
    masks = {name: interpreter.predict(m).mask[0].numpy() for name, m in maps.items()}
    result = {
        "generator_sha256": generator.sha256,
        "distance": distances(generator, taught, tested, maps, masks, args.out),
        "objects": instances(generator, taught, tested, maps, masks, numbers),
    }
    (args.out / "dense.json").write_text(json.dumps(result, indent=1, default=float) + "\n")
    print(json.dumps(result, indent=1, default=float))


def distance(mask: np.ndarray) -> np.ndarray:
    """How far each pixel of the nucleus is from the nearest pixel that is none, 0 outside."""
    return ndimage.distance_transform_edt(mask == 1).astype(np.float32)


def distances(
    generator: ImageGenerator, taught: LabelSet, tested: tuple[Sample, ...], maps: dict, masks: dict, out: Path
) -> dict[str, object]:
    """Errors in pixels, over all pixels of the test crops and over those of the human nucleus."""
    samples = tuple(s._replace(values=distance(s.mask)[..., None]) for s in taught)
    channel = ValueChannel("distance", "px", 0.0, FAR)
    learned = LabelSet(taught.classes, samples, taught.generator_uri, taught.generator_sha256, values=(channel,))
    model = train_values(generator, learned)
    known = np.stack([s.values[..., 0] for s in samples])
    truth = np.stack([distance(s.mask) for s in tested])
    found = [predict_values(model, maps[s.name]) for s in tested]
    value, spread = (np.concatenate([getattr(f, n)[..., 0].numpy() for f in found]) for n in ("value", "uncertainty"))
    answers = {
        "regressed": value,
        "from the interpreter's mask": np.stack([distance(masks[s.name]) for s in tested]),
        "training mean": np.full_like(truth, known.mean()),
        "training mean at that place": np.broadcast_to(known.mean(0), truth.shape),
    }
    inside = np.stack([s.mask == 1 for s in tested])
    error = np.abs(value - truth)
    unsure = spread >= np.quantile(spread, 0.9)
    rows = []
    for s, t, v, u in list(zip(tested, truth, value, spread, strict=True))[:8]:
        grey = np.broadcast_to(s.image, (*s.mask.shape, 3))
        rows.append(np.concatenate([grey, heat(t, 0, 14), heat(v, 0, 14), heat(u, 0, 3)], 1))
    sheet = np.concatenate([np.concatenate(rows[:4]), np.concatenate(rows[4:])], 1)
    Image.fromarray(sheet).resize((sheet.shape[1] * 2, sheet.shape[0] * 2), Image.Resampling.NEAREST).save(
        out / "distances.png"
    )
    return {
        name: {
            "mae": float(np.abs(answer - truth).mean()),
            "rmse": float(np.sqrt(((answer - truth) ** 2).mean())),
            "mae in the nucleus": float(np.abs(answer - truth)[inside].mean()),
            "rmse in the nucleus": float(np.sqrt(((answer - truth)[inside] ** 2).mean())),
        }
        for name, answer in answers.items()
    } | {
        "mae of the least sure tenth, of the rest": [float(error[unsure].mean()), float(error[~unsure].mean())],
        "held-out error in training": model.report["held_out_error"],
    }


def with_boundary(sample: Sample, objects: np.ndarray, boundary: int) -> Sample:
    """The sample with a class where an object has another one beside it (4-neighbourhood)."""
    touches = np.zeros(objects.shape, bool)
    for axis in (0, 1):
        for step in (1, -1):
            other = np.roll(objects, step, axis)
            edge = [slice(None), slice(None)]
            edge[axis] = slice(0, 1) if step == 1 else slice(-1, None)
            other[tuple(edge)] = 0
            touches |= (objects > 0) & (other > 0) & (objects != other)
    return sample._replace(mask=np.where(touches, boundary, sample.mask).astype(np.uint8))


def instances(
    generator: ImageGenerator, taught: LabelSet, tested: tuple[Sample, ...], maps: dict, masks: dict, numbers: dict
) -> dict[str, object]:
    """Panoptic quality and average precision of each way, and how many objects it sees."""
    classes = (*taught.classes, LabelClass(BOUNDARY, (255, 255, 255), thing=False))
    samples = tuple(with_boundary(s, numbers[s.name], 3) for s in taught)
    separated = LabelSet(classes, samples, taught.generator_uri, taught.generator_sha256)
    drawn = sum(int((s.mask == 3).sum()) for s in samples)
    split = train_interpreter(generator, separated, InterpreterSettings())
    centres = train_centres(generator, taught, {s.name: numbers[s.name] for s in taught})
    found: dict[str, list[Matches]] = {}
    count: dict[str, int] = {}
    for s in tested:
        truth = objects_of(s.mask, THINGS, numbers[s.name])
        mask, other = masks[s.name], split.predict(maps[s.name]).mask[0].numpy()
        warm = centres.mean_and_spread(maps[s.name])[0][0, 0].numpy()
        ways = {
            "human masks, connected regions": (s.mask, label_instances(s.mask, THINGS)[0]),
            "connected regions": (mask, label_instances(mask, THINGS)[0]),
            "boundary class": (other, label_instances(other, THINGS, 3)[0]),
            "centres": (mask, label_instances(mask, THINGS, heat=warm, sigma=centres.sigma)[0]),
        }
        for name, (labelled, ids) in ways.items():
            prediction = objects_of(np.where(labelled == 3, 255, labelled), THINGS, ids.astype(np.int64), min_area=10)
            found.setdefault(name, []).append(match(truth, prediction, np.ones(ids.shape, bool), THINGS))
            count[name] = count.get(name, 0) + len(prediction.classes)
        count["human objects"] = count.get("human objects", 0) + len(truth.classes)
    return {
        "objects": count,
        "pixels of the boundary class in the training crops": drawn,
        "quality": {
            name: {
                "pq": quality(matches).tolist(),
                "pq beyond connected regions, 95 % of resamplings": more_than(matches, found["connected regions"]),
                "ap": average_precision(matches, THINGS).mean(1).tolist(),
                "ap50": average_precision(matches, THINGS)[:, 0].tolist(),
            }
            for name, matches in found.items()
        },
    }  # fmt: skip


def quality(matches: list[Matches]) -> np.ndarray:
    """Panoptic quality of each thing."""
    return PanopticCounts(*(sum(getattr(m, name) for m in matches) for name in COUNTS)).panoptic_quality


def more_than(matches: list[Matches], plain: list[Matches]) -> list[list[float]]:
    """From which to which number the difference in quality of each thing lies when the test crops are drawn again."""
    rng = np.random.default_rng(0)
    draws = rng.integers(0, len(plain), (2000, len(plain)))
    differences = [quality([matches[i] for i in d]) - quality([plain[i] for i in d]) for d in draws]
    return np.quantile(differences, [0.025, 0.975], axis=0).T.tolist()


if __name__ == "__main__":
    main()
