"""What the cells of the study of objects share: crops, their inversion, models, pairs; each made once and kept."""

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from labelfactory.factory.cache import cache_dir
from labelfactory.factory.families import open_generator
from labelfactory.factory.generator import ImageGenerator
from labelfactory.factory.heads.centres import train_centres
from labelfactory.factory.heads.classes import InterpreterSettings, train_interpreter
from labelfactory.factory.heads.keypoints import train_keypoints, with_axis_keypoints
from labelfactory.factory.labels.encoder import ensure_encoder
from labelfactory.factory.labels.feature_maps import load_labels
from labelfactory.factory.labels.inversion import InversionSettings
from labelfactory.factory.labels.real_images import invert_label_set
from labelfactory.factory.labels.views import with_views
from labelfactory.factory.pairs.labelled import LabelledPairs, parse_mapping
from labelfactory.factory.pairs.pairs import ChosenPairs, JoinedPairs, Pair, Pairs
from labelfactory.factory.pairs.store_pairs import StorePairs
from labelfactory.factory.production.line import produce
from labelfactory.factory.production.order import Order
from labelfactory.factory.production.prepare import prepare
from labelfactory.factory.segmenters.tasks import Aim, pairs_for
from labelfactory.interpreters.classes import LabelClass, name_classes
from labelfactory.interpreters.keypoints import AXIS_KEYPOINTS, axis_keypoints
from labelfactory.interpreters.labelset import LabelSet, Sample
from labelfactory.whole_files import whole_file

CLASSES = (LabelClass("background", (0, 0, 0), False), LabelClass("nucleus", (230, 159, 0), True))
OBJECTS = Aim("instance", CLASSES)
POINTS = Aim("keypoints", CLASSES, AXIS_KEYPOINTS)
GENERATOR = "builtin:nuclei64"
MOST_OBJECTS = 254  # numbers that travel through views and inversion as class ids
SIGMA = 3.0  # of the centres' heatmap, in pixels


class Over(Exception):
    """The minutes of this run are over."""


class AxisPoints(Pairs):
    """Labelled crops with centre and ends of the long axis of the nucleus in their middle, which has the number 1."""

    points = AXIS_KEYPOINTS

    def __init__(self, pairs: Pairs) -> None:
        self.pairs = pairs

    def __len__(self) -> int:
        return len(self.pairs)

    def fetch(self, indices: Sequence[int]) -> list[Pair]:
        """The pairs of these numbers."""
        return [replace(pair, keypoints=_axis(pair)) for pair in self.pairs.fetch(indices)]


def labels_for(aim: Aim, crops: Pairs) -> Pairs:
    """Labelled crops with what a task learns from and is judged by."""
    return AxisPoints(crops) if aim is POINTS else pairs_for(aim, crops)


def _axis(pair: Pair) -> np.ndarray:
    assert pair.instances is not None
    return axis_keypoints((pair.instances == 1).astype(np.uint8))


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

    def labelled(self, n: int, aim: Aim) -> Pairs:
        return labels_for(aim, ChosenPairs(self.train, self.chosen(n)))

    def judged_on(self, aim: Aim) -> Pairs:
        """Val crops, evenly spaced among all."""
        count = min(self.options.val, len(self.val))
        return labels_for(aim, ChosenPairs(self.val, np.linspace(0, len(self.val) - 1, count).astype(int)))

    def models(self, n: int) -> dict[str, Path]:
        """Interpreter and regressors of centres and of key points from N crops: views, inversion, training."""
        paths = {name: self.out / f"{name}{n:02d}.safetensors" for name in ("interpreter", "centres", "keypoints")}
        if all(p.exists() for p in paths.values()):
            return paths
        generator, seed = open_generator(GENERATOR, "cpu"), self.options.seed
        with self.stage(f"inversion {n:02d}"):
            inverted = self.inverted(n, generator)

        def masked(classes: Sequence[LabelClass]) -> LabelSet:
            samples = [s._replace(mask=np.minimum(s.mask, len(classes) - 1)) for s in inverted]
            return replace(inverted, classes=tuple(classes), samples=tuple(samples))

        if not paths["interpreter"].exists():
            with self.stage(f"interpreter {n:02d}"):
                settings = InterpreterSettings(seed=seed)
                train_interpreter(generator, masked(CLASSES), settings, progress=False).save(paths["interpreter"])
        if not paths["centres"].exists():
            with self.stage(f"centres {n:02d}"):
                objects = {s.name: s.mask.astype(np.int64) for s in inverted}
                learned = train_centres(generator, masked(CLASSES), objects, SIGMA, seed=seed, progress=False)
                learned.save(paths["centres"])
        if not paths["keypoints"].exists():
            with self.stage(f"keypoints {n:02d}"):
                axes = with_axis_keypoints(masked(load_labels(GENERATOR).classes), "nucleus")
                train_keypoints(generator, axes, seed=seed, progress=False).save(paths["keypoints"])
        return paths

    def inverted(self, n: int, generator: ImageGenerator) -> LabelSet:
        """N crops in all their views with latents that explain them; their masks are object numbers."""
        crops = self.labelled(n, OBJECTS).fetch(range(n))
        numbers = name_classes(str(i) for i in range(MOST_OBJECTS))
        samples = tuple(
            Sample(p.name, p.image, p.instances.astype(np.uint8), 0) for p in crops if p.instances is not None
        )
        views = with_views(
            LabelSet(numbers, samples, GENERATOR, generator.sha256), "dihedral", "all" if n <= 4 else "one"
        )
        settings = InversionSettings(steps=self.options.inversion_steps)
        encoder = ensure_encoder(generator, cache_dir(), self.options.encoder_steps)
        scratch, least = self.out / "latents", self.options.min_fidelity
        inverted, _, _ = invert_label_set(generator, views, scratch, encoder, settings, least)
        print(f"{n} crops, {len(views)} views, {len(inverted)} inverted well", flush=True)
        return inverted

    def store(self, n: int) -> str:
        path = str(self.out / f"pairs{n:02d}.zarr")
        models: dict[str, Any] = {name: str(file) for name, file in self.models(n).items()}
        wishes = {"count": self.options.pairs, "seed": 1, "shard_size": 100, "truncation": 1.0, "device": "cpu"}
        with self.stage(f"pairs {n:02d}"):
            produce(prepare(Order(generator=GENERATOR, out=path, instances=True, **wishes, **models)), progress=False)
        return path

    def pairs(self, aim: Aim, method: str, labels: int) -> Pairs:
        """What a cell learns from."""
        if method == "all":
            return labels_for(aim, self.train)
        real = self.labelled(labels, aim)
        if method == "labelled":
            return real
        generated = pairs_for(aim, StorePairs(self.store(labels), extra=("instances", "keypoints")))
        return JoinedPairs([generated, real], [1, max(1, round(len(generated) / (3 * len(real))))])
