"""Does a frozen synthesis model teach a network to restore masks? The two tables of the method's paper, on CamVid.

    python benchmarks/restoration.py --data DATA/camvid --weights VGG16 --work runs/restoration

DATA/camvid holds train_images.zip, train_masks.zip and so on. Pictures have 240 x 180 pixels, SPADE and the restorers
learn from the train split, and are scored on the whole test split. A piece is one restorer (degradation, mask alone or
with the picture, losses, seed); its result is one JSON file, so the script may be stopped and started, and --minutes
stops it by itself. --report prints the tables of what there is. Nothing is chosen by the test split.

"none": what is not labelled counts as wrong (of an eighth of the size: each pixel a block). "nearest": the class of
the nearest labelled pixel. Intervals redraw blocks of 20 neighbouring frames, as frames of one sequence look alike and
the test split has two sequences only.
"""

import argparse
import io
import json
import time
import zipfile
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from labelfactory.factory.evaluation.bootstrap import interval
from labelfactory.factory.evaluation.calibration import Reliability
from labelfactory.factory.evaluation.metrics import confusion_matrix, scores
from labelfactory.factory.pairs.opening import open_source
from labelfactory.factory.pairs.pairs import Pairs
from labelfactory.factory.pairs.resized import ResizedPairs
from labelfactory.factory.pixels import to_uint8
from labelfactory.factory.translation.degrade import Degradation, parse_degradation
from labelfactory.factory.translation.distances import vgg16_frechet_distance
from labelfactory.factory.translation.incomplete import filled
from labelfactory.factory.translation.learning import train_synthesis
from labelfactory.factory.translation.model import Translation, load_model
from labelfactory.factory.translation.order import RestorerOrder, SynthesisOrder
from labelfactory.factory.translation.restorer import load_restorer
from labelfactory.factory.translation.restorer_learning import train_restorer
from labelfactory.factory.translation.restoring import restore
from labelfactory.factory.translation.settings import LearningSettings

NAMES = ["sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian", "bicyclist"]
SIZE, CPU = "180x240", torch.device("cpu")
SPADE = {"width": 16, "hidden": 32, "judge_width": 16, "upsamplings": 4, "l1": 10.0}
TEACHING = LearningSettings(
    kimg=2.0, batch_size=4, learning_rate=5e-4, crop=96, average=0.99, precision="bfloat16", snapshot_minutes=2
)
LEARNING = LearningSettings(
    kimg=1.2, batch_size=4, learning_rate=2e-3, crop=96, average=0.99, precision="bfloat16", snapshot_minutes=2
)
BLOCK = 20  # neighbouring frames that are drawn together
SYNTHESISED = 2  # one test picture in so many is synthesised for the distance
LOSSES = ("ce", "ce,vgg", "ce,l1", "ce,vgg,l1")
# the most telling first: of each table the plain and the full loss, by mask and by picture, then the rest, then seeds
FIRST = [
    ("sparse", False, "ce"), ("sparse", True, "ce"), ("downsample:8", False, "ce"), ("downsample:8", True, "ce"),
    ("sparse", False, "ce,vgg,l1"), ("downsample:8", False, "ce,vgg,l1"), ("sparse", False, "ce,l1"),
    ("sparse", False, "ce,vgg"), ("sparse", True, "ce,vgg,l1"),
]  # fmt: skip


def unpack(data: Path, work: Path) -> dict[str, Path]:
    """The splits as folders with images/, masks/ and classes.json."""
    folders = {split: work / "camvid" / split for split in ("train", "val", "test")}
    for split, folder in folders.items():
        if (folder / "classes.json").exists():
            continue
        for kind in ("images", "masks"):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            with zipfile.ZipFile(data / f"{split}_{kind}.zip") as archive:
                for name in archive.namelist():
                    if not name.endswith("/"):
                        (folder / kind / Path(name).name).write_bytes(archive.read(name))
        (folder / "classes.json").write_text(json.dumps([{"name": name} for name in NAMES]))
    return folders


def incomplete_of(test: Pairs, degradation: Degradation, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Picture, whole mask and incomplete mask of a test pair: the same for every piece."""
    pair = test[index]
    rng = np.random.Generator(np.random.Philox(key=[2026, index]))
    return pair.image, pair.mask, degradation(pair.mask, rng)


def judge(made: Any, test: Pairs, degradation: Degradation) -> dict[str, Any]:
    """Confusion matrices of all test pictures, and calibration."""
    classes = len(NAMES)
    matrices, reliability, seconds = [], Reliability(), 0.0
    for index in range(len(test)):
        picture, whole, given = incomplete_of(test, degradation, index)
        began = time.perf_counter()
        mask, probabilities = made(given, picture)
        seconds += time.perf_counter() - began
        wrong = np.where(mask == 255, classes, mask)  # what is not labelled is wrong
        matrices.append(confusion_matrix(whole, wrong, classes + 1)[:classes])
        if probabilities is not None:
            open_to = whole != 255
            if degradation.exact:
                open_to &= given == 255
            chosen = probabilities.argmax(0)
            reliability.add(probabilities.max(0)[open_to], (chosen == whole)[open_to])
    return {
        "matrices": np.stack(matrices).tolist(),
        "ece": reliability.error,
        "seconds_a_mask": seconds / len(test),
    }


def distance(made: Any, test: Pairs, degradation: Degradation, synthesis: Translation, weights: Path) -> float:
    """Fréchet distance of pictures that are made of the masks to the real ones, on VGG16's features."""
    pictures, real = [], []
    for index in range(0, len(test), SYNTHESISED):
        picture, _, given = incomplete_of(test, degradation, index)
        condition = synthesis.condition(torch.from_numpy(made(given, picture)[0])[None].long())
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            pictures.append(to_uint8(synthesis.picture(condition))[0])
        real.append(torch.from_numpy(picture.copy()).permute(2, 0, 1))
    return vgg16_frechet_distance(torch.stack(pictures), torch.stack(real), weights, CPU)


def train_and_judge(
    key: tuple[str, bool, str, int], folders: dict[str, Path], work: Path, weights: Path, synthesis: Path
) -> dict[str, Any]:
    degrade, image, losses, seed = key
    name = named(key)
    order = RestorerOrder(
        (str(folders["train"]),),
        degrade,
        work / f"{name}.safetensors",
        synthesis=None if losses == "ce" else synthesis,
        losses=losses,
        image=image,
        validation=str(folders["val"]),
        size=SIZE,
        perceptual_weights=weights if "vgg" in losses else None,
        settings=replace(LEARNING, seed=seed),
    )
    began, cpu = time.monotonic(), time.process_time()
    train_restorer(order)
    took = {"train_seconds": time.monotonic() - began, "train_cpu_seconds": time.process_time() - cpu}
    restorer = load_restorer(order.out, CPU)
    found = judge(maker(order.out, image), opened(folders["test"]), parse_degradation(degrade))
    return found | took | {"calibration": restorer.header["calibration"], "steps": restorer.header["images_seen"] / 4}


def opened(folder: Path) -> Pairs:
    return ResizedPairs(open_source(str(folder))[0], (180, 240))


def maker(path: Path, image: bool) -> Any:
    """From an incomplete mask and its picture to the whole mask and its probabilities."""
    restorer = load_restorer(path, CPU)

    def made(given: np.ndarray, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found = restore(restorer, given, picture if image else None, bf16=True)
        return found.mask, found.probabilities

    return made


def named(key: tuple[str, bool, str, int]) -> str:
    degrade, image, losses, seed = key
    return f"{degrade.replace(':', '')}-{'image' if image else 'mask'}-{losses.replace(',', '+')}-{seed}"


WAYS = {"none": lambda given, picture: (given, None), "nearest": lambda given, picture: (filled(given)[0], None)}


def baselines(folders: dict[str, Path], work: Path) -> None:
    """Rows that need no training."""
    test = opened(folders["test"])
    for degrade, (row, way) in product(("sparse", "downsample:8"), WAYS.items()):
        target = work / "results" / f"{degrade.replace(':', '')}-{row}.json"
        if not target.exists():
            target.write_text(json.dumps(judge(way, test, parse_degradation(degrade))))
            print(target.stem, "done", flush=True)


def distances(folders: dict[str, Path], work: Path, weights: Path, synthesis: Path, seeds: int) -> None:
    """Of every row that is there and has none yet."""
    test, model = opened(folders["test"]), load_model(synthesis, CPU)
    rows = {f"{d.replace(':', '')}-{w}": (d, way) for d in ("sparse", "downsample:8") for w, way in WAYS.items()}
    rows |= {
        named(key): (key[0], maker(work / f"{named(key)}.safetensors", key[1]))
        for key in pieces(seeds)
        if (work / "results" / f"{named(key)}.json").exists()
    }
    for name, (degrade, way) in rows.items():
        target = work / "results" / f"{name}.distance"
        if not target.exists():
            target.write_text(str(distance(way, test, parse_degradation(degrade), model, weights)))


def pieces(seeds: int) -> list[tuple[str, bool, str, int]]:
    """All of them, in the order in which they are made."""
    every = [(d, i, losses) for d in ("sparse", "downsample:8") for i in (False, True) for losses in LOSSES]
    ranked = FIRST + [one for one in every if one not in FIRST]
    return [(*one, seed) for seed in range(seeds) for one in ranked]


def groups_of(folder: Path) -> list[str]:
    """Blocks of neighbouring frames of a sequence, in the order of the pairs."""
    names = sorted(path.stem for path in (folder / "images").iterdir())
    counts: dict[str, int] = {}
    found = []
    for name in names:
        sequence = name[:6]
        counts[sequence] = counts.get(sequence, -1) + 1
        found.append(f"{sequence}-{counts[sequence] // BLOCK}")
    return found


def miou_of(sums: np.ndarray) -> np.ndarray:
    """mIoU of matrices with a last column of pixels that nobody labelled."""
    square = np.concatenate([sums, np.zeros((*sums.shape[:-2], 1, sums.shape[-1]))], axis=-2)
    return np.asarray(np.nanmean(scores(square).iou[..., : len(NAMES)], axis=-1))


def accuracy_of(sums: np.ndarray) -> np.ndarray:
    return np.asarray(np.trace(sums[..., : len(NAMES)], axis1=-2, axis2=-1) / sums.sum((-2, -1)))


def report(work: Path, folders: dict[str, Path]) -> None:
    groups = groups_of(folders["test"])
    for degrade in ("sparse", "downsample:8"):
        short = degrade.replace(":", "")
        rows = {"none": [f"{short}-none"], "nearest labelled": [f"{short}-nearest"]}
        for image, losses in product((False, True), LOSSES):
            rows[f"{'with picture' if image else 'mask alone'}, {losses}"] = [
                named((degrade, image, losses, seed)) for seed in range(9)
            ]
        print(f"\n{degrade}\n| row | seeds | pixel accuracy | mIoU | gain | ECE | Fréchet (VGG16) | CPU s |")
        print("|---|---:|---:|---:|---:|---:|---:|---:|")
        base = None
        for row, files in rows.items():
            found = [json.loads(p.read_text()) for f in files if (p := work / "results" / f"{f}.json").exists()]
            if not found:
                continue
            matrices = np.stack([np.array(one["matrices"], np.int64) for one in found])
            base = matrices[:1] if row == "none" else base
            pooled = matrices.sum(0)
            both = np.concatenate([pooled, (base if base is not None else matrices[:1])[0]], axis=-1)
            width = len(NAMES) + 1

            def gain(sums: np.ndarray, width: int = width) -> np.ndarray:
                return miou_of(sums[..., :width]) - miou_of(sums[..., width:])

            cells = []
            for statistic, values in ((accuracy_of, pooled), (miou_of, pooled), (gain, both)):
                low, high = interval(values, partial(statistic), groups)
                value = np.mean([float(statistic(m.sum(0))) for m in matrices]) if statistic is not gain else None
                value = float(gain(both.sum(0))) if value is None else value
                cells.append(f"{100 * value:.1f} ({100 * float(low):.1f} to {100 * float(high):.1f})")
            ece = float(np.mean([one["ece"] for one in found]))
            told = [float(p.read_text()) for f in files if (p := work / "results" / f"{f}.distance").exists()]
            far = f"{np.mean(told):.3f}" if told else ""
            cpu = np.mean([one.get("train_cpu_seconds", 0) for one in found])
            print(f"| {row} | {len(found)} | {' | '.join(cells)} | {ece:.3f} | {far} | {cpu:.0f} |")


def sheet(work: Path, folders: dict[str, Path]) -> None:
    """Picture, whole mask, incomplete mask, and what each restorer that is there makes of it."""
    from labelfactory.palette import color_table

    test, classes = open_source(str(folders["test"]))
    test = ResizedPairs(test, (180, 240))
    table = color_table([c.color for c in classes])
    rows = []
    for key in [(d, i, losses, 0) for d, i, losses in FIRST]:
        path = work / f"{named(key)}.safetensors"
        if path.exists():
            restorer = load_restorer(path, CPU)
            for index in (len(test) // 8, 2 * len(test) // 3):
                picture, whole, given = incomplete_of(test, parse_degradation(key[0]), index)
                made = restore(restorer, given, picture if key[1] else None).mask
                rows.append(np.concatenate([picture, table[whole], table[given], table[made]], 1))
    if rows:
        buffer = io.BytesIO()
        Image.fromarray(np.concatenate(rows, 0).astype(np.uint8)).save(buffer, "PNG")
        (work / "sheet.png").write_bytes(buffer.getvalue())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="Folder of CamVid's zips.")
    parser.add_argument("--weights", type=Path, required=True, help="VGG16's weights.")
    parser.add_argument("--work", type=Path, required=True, help="Folder for models and results.")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=1e9, help="No piece is begun after these.")
    parser.add_argument("--report", action="store_true", help="Print the tables and draw a sheet.")
    given = parser.parse_args()
    torch.set_num_threads(1)
    began = time.monotonic()
    (given.work / "results").mkdir(parents=True, exist_ok=True)
    folders = unpack(given.data, given.work)
    if given.report:
        report(given.work, folders)
        sheet(given.work, folders)
        return
    synthesis = given.work / "G.safetensors"
    taught = False
    baselines(folders, given.work)
    for key in pieces(given.seeds):
        target = given.work / "results" / f"{named(key)}.json"
        if target.exists():
            continue
        if time.monotonic() - began > given.minutes * 60:
            return
        if key[2] != "ce" and not taught:
            teach(folders, synthesis, given.weights)
            taught = True
        found = train_and_judge(key, folders, given.work, given.weights, synthesis)
        target.write_text(json.dumps(found))
        print(target.stem, f"mIoU {100 * float(miou_of(np.array(found['matrices']).sum(0))):.1f}", flush=True)
    distances(folders, given.work, given.weights, synthesis, given.seeds)


def teach(folders: dict[str, Path], synthesis: Path, weights: Path) -> None:
    """Trains the synthesis model, or goes on with it; quick where that is done."""
    train_synthesis(
        SynthesisOrder(
            (str(folders["train"]),),
            synthesis,
            options=SPADE,
            size=SIZE,
            perceptual_weights=weights,
            settings=TEACHING,
        )
    )


if __name__ == "__main__":
    main()
