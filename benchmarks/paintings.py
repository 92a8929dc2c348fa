"""Do labelled photographs in the clothes of paintings make a better segmenter of paintings?

    python benchmarks/paintings.py --data DATA --weights WEIGHTS --work runs/paintings [--minutes 14]
    python benchmarks/paintings.py --work runs/paintings --report

DATA holds camvid/ (train_images.zip and so on) and monet/images.zip, WEIGHTS torchvision's VGG16 and MobileNetV2 as
vgg16_features_lpips.safetensors and mobilenet_v2_imagenet.safetensors. CamVid's classes are joined to what paintings
have. The test set is benchmarks/paintings; its 47 paintings are neither style pictures nor pseudo-labelled. A piece is
a model, a store or one segmenter's score; what is done stays, the script may be stopped and started. --report prints
the table of what there is, mIoU over the seeds with the interval of the first seed's over pictures.
"""

import argparse
import io
import json
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from labelfactory.factory.production.line import produce
from labelfactory.factory.restyle.learning import train_restyler
from labelfactory.factory.restyle.order import RestyleOrder, RestylerOrder
from labelfactory.factory.restyle.preparing import prepare_restyling
from labelfactory.factory.restyle.pseudo_labelling import prepare_pseudo_labels
from labelfactory.factory.restyle.pseudo_order import PseudoLabelOrder
from labelfactory.factory.restyle.report import drift_report
from labelfactory.factory.segmenters.order import EvaluationOrder, HumanLabels, SegmenterOrder
from labelfactory.factory.segmenters.predicting import evaluate_segmenter
from labelfactory.factory.segmenters.rounds import train_rounds
from labelfactory.factory.segmenters.settings import TrainingConfig
from labelfactory.factory.translation.learning import train_synthesis
from labelfactory.factory.translation.order import SynthesisOrder
from labelfactory.factory.translation.settings import LearningSettings

TEST = Path(__file__).with_name("paintings")
# sky, building, pole, road, pavement, tree, sign, fence, car, pedestrian, bicyclist
JOINED = np.full(256, 255, np.uint8)
JOINED[:11] = (0, 1, 4, 2, 2, 3, 4, 4, 4, 4, 4)
SIZE = (192, 256)  # rows and columns of the photographs
SEEDS = (0, 1, 2)
STYLES = 8  # that a feed-forward network learns
METHODS = ("adain", "perceptual", "cyclegan")
PRETRAINING = TrainingConfig(steps=1500, batch_size=8, learning_rate=1e-3, crop=160, validate_every=250)
FINE_TUNING = TrainingConfig(steps=600, batch_size=8, learning_rate=3e-4, crop=160, validate_every=200)
ARCHITECTURE = "deeplabv3plus-mobilenetv2"


def learning(kimg: float, batch: int, crop: int) -> LearningSettings:
    return LearningSettings(kimg=kimg, batch_size=batch, crop=crop, precision="bfloat16", snapshot_minutes=2)


@dataclass(frozen=True)
class Piece:
    """Something that is made once: ``out`` is there when it is."""

    name: str
    out: Path
    make: Callable[[], Any]


class Work:
    """Places of everything, and the pieces in the order in which they tell most."""

    def __init__(self, work: Path, data: Path, weights: Path) -> None:
        self.work, self.data = work, data
        self.vgg, self.mobilenet = (
            weights / f"{name}.safetensors" for name in ("vgg16_features_lpips", "mobilenet_v2_imagenet")
        )
        self.photographs, self.paintings, self.few = (work / n for n in ("photographs", "paintings", "few"))

    def lay(self) -> None:
        """Photographs with joined classes, and the paintings that are not tested on."""
        for split, folder in (("train", self.photographs), ("val", self.work / "validation")):
            for kind in ("images", "masks"):
                (folder / kind).mkdir(parents=True, exist_ok=True)
                with zipfile.ZipFile(self.data / "camvid" / f"{split}_{kind}.zip") as archive:
                    for name in archive.namelist():
                        picture = Image.open(io.BytesIO(archive.read(name)))
                        stem = Path(name).stem
                        if kind == "images":
                            smaller = picture.resize(SIZE[::-1], Image.Resampling.LANCZOS)
                            smaller.save(folder / kind / f"{stem}.png")
                        else:
                            mask = picture.resize(SIZE[::-1], Image.Resampling.NEAREST)
                            Image.fromarray(JOINED[np.array(mask)]).save(folder / kind / f"{stem}.png")
            (folder / "classes.json").write_bytes((TEST / "classes.json").read_bytes())
        tested = {path.stem for path in (TEST / "images").iterdir()}
        for folder in (self.paintings, self.few):
            folder.mkdir(exist_ok=True)
        with zipfile.ZipFile(self.data / "monet" / "images.zip") as archive:
            free = [n for n in sorted(archive.namelist()) if Path(n).suffix == ".jpg" and Path(n).stem not in tested]
            chosen = {free[i] for i in np.linspace(0, len(free) - 1, STYLES).astype(int)}
            for name in free:
                for folder in [self.paintings, *([self.few] if name in chosen else [])]:
                    (folder / Path(name).name).write_bytes(archive.read(name))
        (self.work / "laid").write_text("yes")

    def model(self, method: str) -> Path:
        return self.work / f"{method}.safetensors"

    def store(self, method: str, repair: str) -> Path:
        return self.work / f"{method}-{repair}.zarr"

    def learn(self, method: str) -> None:
        """A restyler of a method."""
        size, out = f"{SIZE[0]}x{SIZE[1]}", self.work / f"{method}.part.safetensors"
        if method == "cyclegan":
            options = {"width": 24, "blocks": 6, "judge_width": 32}
            given: dict[str, Any] = {"pictures": str(self.paintings), "options": options, "size": size}
            settings = learning(6.0, 1, 128)
            train_synthesis(SynthesisOrder((str(self.photographs),), out, method, settings=settings, **given))
        else:
            style, kimg = (self.paintings, 16.0) if method == "adain" else (self.few, 8.0)
            settings = learning(kimg, 4, 128)
            order = RestylerOrder((str(self.photographs),), style, self.vgg, out, method, size=size, settings=settings)
            train_restyler(order)
        out.rename(self.model(method))

    def restyle(self, method: str, repair: str) -> None:
        """The store of a method, and its drift as JSON."""
        style = {"adain": self.paintings, "perceptual": self.few, "cyclegan": None}[method]
        out = self.store(method, repair)
        order = RestyleOrder(str(self.photographs), method, str(out), style, self.model(method), repair=repair)
        manifest = produce(prepare_restyling(order, print))
        found = drift_report(str(out))
        told = {"medians": dict(zip(found.names, found.medians.tolist(), strict=True)), "repairs": found.repairs}
        out.with_suffix(".json").write_text(json.dumps(told | {"pairs": manifest.count, "kept": manifest.kept}))

    def segment(
        self, name: str, seed: int, pairs: list[Path], start: Path | None, config: TrainingConfig = FINE_TUNING
    ) -> None:
        """A segmenter and its score on the paintings."""
        out = self.work / f"{name}-{seed}.safetensors"
        settings = TrainingConfig(**{**vars(config), "seed": seed})
        given: dict[str, Any] = {"start": start, "freeze": None if start is None else "backbone:6"}
        if start is None:
            given |= {"backbone_weights": self.mobilenet}
        if name == "photographs":
            given |= {"validation": str(self.work / "validation")}
        places = tuple(map(str, pairs))
        train_rounds(
            SegmenterOrder(
                places, out=out, architecture=ARCHITECTURE, training=settings, augmentation="art", balance=True, **given
            )
        )
        result, _ = evaluate_segmenter(EvaluationOrder(out, HumanLabels(TEST), self.work / f"{name}-{seed}"))
        score = result.overall["miou"]
        classes = {c.name: iou.value for c, iou in zip(result.classes, result.per_class["iou"], strict=True)}
        told = {"miou": score.value, "low": score.low, "high": score.high, "classes": classes}
        (self.work / f"{name}-{seed}.json").write_text(json.dumps(told))

    def pseudo_label(self, name: str) -> None:
        """The free paintings, labelled by the three segmenters of a name."""
        files = tuple(self.work / f"{name}-{seed}.safetensors" for seed in SEEDS)
        out = self.work / f"pseudo-{name}.zarr"
        produce(
            prepare_pseudo_labels(
                PseudoLabelOrder(files, str(self.paintings), str(out), share=0.6, keep=0.8, size="256x256"), print
            )
        )
        out.with_suffix(".json").write_text("{}")

    def pieces(self) -> list[Piece]:
        """All of them, each after those that it needs."""
        found = [Piece("lay", self.work / "laid", self.lay)]

        def segmenter(
            name: str, seed: int, pairs: list[Path], start: Path | None, config: TrainingConfig = FINE_TUNING
        ) -> None:
            out = self.work / f"{name}-{seed}.json"
            found.append(Piece(f"{name}-{seed}", out, lambda: self.segment(name, seed, pairs, start, config)))

        for seed in SEEDS:
            segmenter("photographs", seed, [self.photographs], None, PRETRAINING)
        for method in METHODS:
            found.append(Piece(method, self.model(method), lambda m=method: self.learn(m)))  # type: ignore[misc]
            for repair in ("warp", "none"):
                out = self.store(method, repair)
                make = lambda m=method, r=repair: self.restyle(m, r)  # noqa: E731
                found.append(Piece(out.stem, out.with_suffix(".json"), make))
                for seed in SEEDS:
                    base = self.work / f"photographs-{seed}.safetensors"
                    segmenter(f"tuned-{out.stem}", seed, [self.photographs, out], base)
        best = self.store("adain", "warp")
        name = f"tuned-{best.stem}"
        pseudo = self.work / f"pseudo-{name}.zarr"
        found.append(Piece(pseudo.stem, pseudo.with_suffix(".json"), lambda: self.pseudo_label(name)))
        for seed in SEEDS:
            segmenter("with-pseudo-labels", seed, [best, pseudo], self.work / f"{name}-{seed}.safetensors")
            segmenter("from-scratch", seed, [best], None, PRETRAINING)
        return found

    def report(self) -> None:
        """The table of what there is."""
        rows: dict[str, list[dict[str, Any]]] = {}
        for path in sorted(self.work.glob("*-[0-9].json")):
            rows.setdefault(path.stem.rpartition("-")[0], []).append(json.loads(path.read_text()))
        print("| learned from | seeds | mIoU on paintings, % | lowest and highest seed | interval of the first |")
        print("|---|---:|---:|---:|---:|")
        for name, found in sorted(rows.items(), key=lambda row: np.mean([one["miou"] for one in row[1]])):
            values = 100 * np.array([one["miou"] for one in found])
            first = f"{100 * found[0]['low']:.1f} to {100 * found[0]['high']:.1f}"
            print(f"| {name} | {len(found)} | {values.mean():.1f} | {values.min():.1f}, {values.max():.1f} | {first} |")
        for path in sorted(p for m in METHODS for p in self.work.glob(f"{m}-*.json")):
            told = json.loads(path.read_text())
            drift = ", ".join(f"{value:.2f}" for value in told["medians"]["all"])
            kept = f"{told['kept']} of {told['pairs']} kept"
            print(f"{path.stem}: median drift as given, restyled, repaired {drift} px; {kept}; {told['repairs']}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--weights", type=Path, default=Path("weights"))
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=1e9, help="No new piece is begun after so many minutes.")
    parser.add_argument("--report", action="store_true")
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    work, began = Work(given.work, given.data, given.weights), time.monotonic()
    if not given.report:
        for piece in work.pieces():
            if time.monotonic() - began > 60 * given.minutes:
                break
            if not piece.out.exists():
                print(f"{piece.name} ...", flush=True)
                start = time.monotonic()
                piece.make()
                print(f"{piece.name}: {time.monotonic() - start:.0f} s", flush=True)
    work.report()


if __name__ == "__main__":
    main()
