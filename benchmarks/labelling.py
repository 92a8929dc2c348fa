"""How many strokes does a label set need when the factory learns while somebody draws?

    LABELFACTORY_DATA=... python benchmarks/labelling.py --out runs/labelling
    LABELFACTORY_DATA=... python benchmarks/labelling.py --out runs/leaves --domain leaves --generator l64.safetensors

A scripted annotator sees a photograph, inverted where the generator does not look at photographs, and its human mask
(nuclei: 64 px crops; leaves: squeezed to the generator's size). It opens the image that the page would choose, and
paints there, in the class that the human mask has, from the pixel that the page shows as least sure among those that it
has not painted: a stroke of radius 2 that stays inside the class, a dab or (--drag) a straight line. The first strokes
go to each class once. Compared, on other crops with human masks:

  page      the page's proposals after that many strokes
  finished  the interpreter that the page's "Finish" trains on them
  forest    a random forest on the same strokes, on filters at five scales, as ilastik has them
  full      the interpreter that 16 whole masks teach, and how many corners their outlines have (within a pixel)

Also, every ten strokes, what the proposals of the labelled images had wrong, what share of them the ten had changed,
and whether the stop signal's interval held the gain that the next ten then brought. Latents and finished runs are kept
in --out, so that the script may be stopped and started.
"""

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from leaves import CLASSES as LEAF_CLASSES
from leaves import load_leaves
from nuclei import load_nuclei

from labelfactory.factory.cache import cache_dir
from labelfactory.factory.evaluation.metrics import confusion_matrix, scores
from labelfactory.factory.families import open_generator
from labelfactory.factory.generator import ImageGenerator, Invertible, Seeing
from labelfactory.factory.heads.classes import InterpreterSettings, train_interpreter
from labelfactory.factory.labels.encoder import ensure_encoder
from labelfactory.factory.labels.feature_maps import feature_maps, load_labels
from labelfactory.factory.labels.inversion import invert
from labelfactory.factory.labels.learning import Learner
from labelfactory.factory.labels.painting import stroke_pixels
from labelfactory.factory.labels.stopping import LEAST, recent_change, stop_signal
from labelfactory.factory.segmenters.pixel_forest import pixel_features, random_forest
from labelfactory.interpreters import StyleInterpreter
from labelfactory.interpreters.classes import name_classes
from labelfactory.interpreters.formats.outlines import components
from labelfactory.interpreters.labelset import LabelSet, Sample
from labelfactory.limits import IGNORE_INDEX

STEPS = (10, 20, 30, 40, 60, 80, 120)
RADIUS, CLASSES, LABELLED, TESTED = 2.0, 3, 16, 48


Load = Callable[[str], tuple[np.ndarray, np.ndarray, list[str], list[str]]]


def photographs(generator: ImageGenerator, load: Load, split: str, count: int, seed: int, folder: Path) -> list[Sample]:
    """Pictures of a split with their human masks, as they are for a generator that looks at photographs; else explained
    by it, which is kept in ``folder``.
    """
    images, masks, names, _ = load(split)
    chosen = np.random.default_rng(seed).choice(len(images), min(2 * count, len(images)), replace=False)
    if isinstance(generator, Seeing):
        return [Sample(f"{split}-{Path(names[i]).stem}", images[i], masks[i], None) for i in chosen[:count]]
    if not isinstance(generator, Invertible):
        raise SystemExit("labelling: this kind of generator neither looks at photographs nor inverts them")
    path = folder / f"{split}-{seed}-{count}.npz"
    if not path.exists():
        encoder = ensure_encoder(generator, cache_dir())
        result = invert(generator, images[chosen], encoder)
        np.savez(path, ws=result.ws, fidelity=result.fidelity)
    with np.load(path) as found:
        good = np.flatnonzero(found["fidelity"] >= 0.8)[:count]
        return [
            Sample(
                f"{split}-{Path(names[chosen[i]]).stem}",
                images[chosen[i]],
                masks[chosen[i]],
                found["ws"][i].astype(np.float32),
            )
            for i in good
        ]


def miou(predicted: list[np.ndarray], truth: list[np.ndarray]) -> float:
    total = sum(confusion_matrix(t, p, CLASSES) for t, p in zip(truth, predicted, strict=True))
    return float(scores(total).miou)


def forest(drawn: list[np.ndarray], features: list[np.ndarray], tested: list[np.ndarray]) -> list[np.ndarray]:
    x = np.concatenate([f[m.ravel() != IGNORE_INDEX] for f, m in zip(features, drawn, strict=True)])
    y = np.concatenate([m.ravel()[m.ravel() != IGNORE_INDEX] for m in drawn])
    model = random_forest(x, y)
    return [model.predict(f).reshape(drawn[0].shape).astype(np.uint8) for f in tested]


def corners(mask: np.ndarray) -> int:
    """Corners of a polygon round each object that stays within a pixel of its outline (Douglas and Peucker)."""

    def simplified(line: np.ndarray) -> int:
        a, b = line[0], line[-1]
        d = b - a
        length = max(1e-9, float(np.hypot(*d)))
        away = np.abs(d[0] * (line[:, 1] - a[1]) - d[1] * (line[:, 0] - a[0])) / length
        if np.allclose(a, b):
            away = np.hypot(*(line - a).T)
        far = int(away.argmax())
        return 1 if away[far] <= 1 or len(line) < 3 else simplified(line[: far + 1]) + simplified(line[far:])

    outlines = (points for value, points in components(mask) if value > 0)
    return sum(max(3, simplified(np.concatenate([p, p[:1]]).astype(float))) for p in outlines)


def stroke(truth: np.ndarray, drawn: np.ndarray, unsure: np.ndarray, rng: np.random.Generator, drag: int) -> np.ndarray:
    """A stroke from the least sure pixel that is not painted, inside its class; ties fall to chance.

    It is a dab, or a straight line of up to ``drag`` pixels: the one of 32 directions that meets most that is unsure
    before it leaves the class.
    """
    free = np.where(drawn == IGNORE_INDEX, unsure + 1e-6 * rng.random(unsure.shape), -1)
    y, x = np.unravel_index(int(free.argmax()), free.shape)
    inside, best, most = truth == truth[y, x], np.zeros_like(truth, bool), -1.0
    for angle in np.linspace(0, 2 * np.pi, 32, endpoint=False) if drag else [0.0]:
        steps = np.arange(drag + 1)
        ys, xs = np.rint(y + steps * np.sin(angle)).astype(int), np.rint(x + steps * np.cos(angle)).astype(int)
        within = (ys >= 0) & (ys < truth.shape[0]) & (xs >= 0) & (xs < truth.shape[1])
        out = [k for k in steps if not within[k] or not inside[ys[k], xs[k]]]
        end = (out[0] if out else len(steps)) - 1
        line = [(x + 0.5, y + 0.5), (xs[end] + 0.5, ys[end] + 0.5)] if end else [(x + 0.5, y + 0.5)]
        region = stroke_pixels(line, RADIUS, *truth.shape) & inside
        met = float(free[region].clip(0).sum())
        if met > most:
            best, most = region, met
    return best


def masks_of(interpreter: StyleInterpreter, generator: ImageGenerator, labels: LabelSet) -> list[np.ndarray]:
    seen = feature_maps(generator, labels, labels.samples, progress=False)
    return [interpreter.predict(maps).mask[0].numpy() for _, maps in seen]


def held(tens: list[dict]) -> list[bool]:
    """For every ten strokes whose gain the signal spoke of, whether its interval held it."""
    found = []
    for now, later in pairwise(tens):
        signal = stop_signal(now["changes"])
        if np.isfinite(signal.low):
            found.append(signal.low <= now["wrong"] - later["wrong"] <= signal.high)
    return found


def ratios(tens: list[dict]) -> list[float]:
    """What the next ten strokes gained over what the last ones had changed: the stop signal is calibrated by it."""
    return [
        (now["wrong"] - later["wrong"]) / recent_change(now["changes"])
        for now, later in pairwise(tens)
        if len(now["changes"]) >= LEAST
    ]


def run(generator: ImageGenerator, labels: LabelSet, tests: list[Sample], seed: int, out: Path, drag: int) -> dict:
    """One annotator from the first stroke to the last."""
    path = out / (f"drag-{drag}-{seed}.json" if drag else f"run-{seed}.json")
    if path.exists():
        return json.loads(path.read_text())
    rng = np.random.default_rng(seed)
    truth, wanted = [s.mask for s in labels], [s.mask for s in tests]
    whole = LabelSet(labels.classes, (*labels.samples, *tests), labels.generator_uri, generator.sha256)
    learner, count = Learner(generator, whole, seed=seed), len(labels)
    drawn = [np.full_like(m, IGNORE_INDEX) for m in truth]
    features, tested = [pixel_features(s.image) for s in labels], [pixel_features(s.image) for s in tests]
    rows, tens, changes = [], [], []
    then = [np.full_like(m, IGNORE_INDEX) for m in truth]
    for n in range(1, STEPS[-1] + 1):
        if n <= CLASSES:  # each class once, on the first image that shows it
            index = next(i for i, m in enumerate(truth) if (m == n - 1).any())
            unsure = (truth[index] == n - 1).astype(np.float32)
        else:
            guesses = [learner.predict(i) for i in range(count)]
            index = int(np.argmax([float(g.score[0]) for g in guesses]))
            unsure = guesses[index].uncertainty[0].float().numpy()
        region = stroke(truth[index], drawn[index], unsure, rng, drag)
        drawn[index][region] = truth[index][region]
        learner.learn(index, drawn[index])
        for _ in range(4):
            learner.train(seconds=60.0, most=40)
        if n % 10 == 0:
            now = [learner.predict(i).mask[0].numpy() for i in range(count)]
            wrong = float(np.mean([a != b for a, b in zip(now, truth, strict=True)]))
            if n > 10:
                changes.append(float(np.mean([a != b for a, b in zip(now, then, strict=True)])))
            tens.append({"strokes": n, "wrong": wrong, "changes": list(changes)})
            then = now
        if n in STEPS:
            ours = miou([learner.predict(count + i).mask[0].numpy() for i in range(len(tests))], wanted)
            made = replace(labels, samples=tuple(s._replace(mask=m) for s, m in zip(labels, drawn, strict=True)))
            interpreter = train_interpreter(generator, made, InterpreterSettings(), progress=False)
            finished = miou(masks_of(interpreter, generator, replace(labels, samples=tuple(tests))), wanted)
            others = miou(forest(drawn, features, tested), wanted)
            rows.append({"strokes": n, "page": ours, "finished": finished, "forest": others})
            print(seed, rows[-1], flush=True)
    found = {"rows": rows, "tens": tens}
    path.write_text(json.dumps(found))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/labelling"))
    parser.add_argument("--domain", choices=("nuclei", "leaves"), default="nuclei")
    parser.add_argument("--generator", default="builtin:nuclei64")
    parser.add_argument("--drag", type=int, default=0, help="length of a stroke in pixels; 0: dabs")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    generator = open_generator(options.generator, "cpu")
    load: Load = load_nuclei
    classes = load_labels("builtin:nuclei64").classes
    if options.domain == "leaves":
        load, classes = partial(load_leaves, side=generator.size[0]), tuple(name_classes(LEAF_CLASSES))
    tests = photographs(generator, load, "val", TESTED, 1000, options.out)
    reached: dict[str, list[float]] = {"page": [], "finished": [], "forest": []}
    fulls, clicks, forests, right, gained = [], [], [], [], []
    table: dict[int, list[list[float]]] = {n: [] for n in STEPS}
    for seed in range(options.seeds):
        samples = photographs(generator, load, "train", LABELLED, seed, options.out)
        labels = LabelSet(classes, tuple(samples), options.generator, generator.sha256)
        path = options.out / f"full-{seed}.json"
        if not path.exists():
            interpreter = train_interpreter(generator, labels, InterpreterSettings(), progress=False)
            others = replace(labels, samples=tuple(tests))
            full = miou(masks_of(interpreter, generator, others), [s.mask for s in tests])
            filtered = [pixel_features(s.image) for s in samples]
            by_forest = forest([s.mask for s in samples], filtered, [pixel_features(s.image) for s in tests])
            known = {"miou": full, "corners": sum(corners(s.mask) for s in samples)}
            path.write_text(json.dumps(known | {"forest": miou(by_forest, [s.mask for s in tests])}))
        whole = json.loads(path.read_text())
        found = run(generator, labels, tests, seed, options.out, options.drag)
        gained.append(ratios(found["tens"]))
        fulls.append(whole["miou"])
        clicks.append(whole["corners"])
        forests.append(whole["forest"])
        right += held(found["tens"])
        for row in found["rows"]:
            table[row["strokes"]].append([row[method] for method in reached])
        for method in reached:
            enough = [r["strokes"] for r in found["rows"] if r[method] >= 0.95 * whole["miou"]]
            reached[method].append(enough[0] if enough else float("inf"))
    print(f"16 whole masks: mIoU {100 * np.mean(fulls):.1f}, {np.mean(clicks):.0f} corners")
    print("| strokes | page | finished | forest |\n|---:|---:|---:|---:|")
    for n, values in table.items():
        columns = [100 * np.array(column) for column in zip(*values, strict=True)]
        cells = [f"{c.mean():.1f} ({c.min():.1f} to {c.max():.1f})" for c in columns]
        print(f"| {n} | {' | '.join(cells)} |")
    print(f"forest on the 16 whole masks: {100 * np.mean(forests):.1f}")
    for method, counts in reached.items():
        print(f"{method}: 95 % of that after {counts} strokes (median {np.median(counts):g})")
    print(f"stop signal: its interval held the gain of ten more strokes in {np.mean(right):.0%} of {len(right)} cases")
    shares = np.quantile(np.concatenate(gained), [0.5, 0.025, 0.975]).round(2).tolist()
    print(f"gain over change: median and 95 % interval {shares}")
    for k, own in enumerate(gained):
        low, high = np.quantile(np.concatenate(gained[:k] + gained[k + 1 :]), [0.025, 0.975])
        inside = np.mean([low <= r <= high for r in own])
        print(f"  with the interval of the other choices of crops, choice {k}: {inside:.0%} held")


if __name__ == "__main__":
    main()
