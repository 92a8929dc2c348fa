"""Our exports, read by tools that are no dependencies of ours: is what they see what the store holds?

    python benchmarks/exports.py [--ultralytics U/bin/python] [--datumaro D/bin/python] [--supervision ...] [--train]

The 16 masks of 64 px that people drew for the bundled generator, 48 masks of random blobs (holes, touching objects,
single pixels) and random key points are exported. ultralytics' own ``YOLODataset`` opens yolo and yolo-pose from the
root folder, without augmentation, masks at full size; ``--train`` also trains its smallest models for one epoch, from
nothing. datumaro imports coco: instances, panoptic, key points. supervision opens yolo and coco.

ultralytics is under the AGPL, datumaro pins other versions than ours: put each into an environment of its own (python
-m venv; pip install) and name that environment's interpreter. What is not there is skipped with a word.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

SIDE = 64


def make(folder: Path) -> None:
    """A store, and its exports: yolo, yolo-pose, and png as the truth."""
    from PIL import Image
    from scipy.ndimage import gaussian_filter

    from labelfactory.factory.bundled import builtin_path
    from labelfactory.storage import ClassInfo, DatasetSpec, create_store, finalize, open_dataset, sample_seeds
    from labelfactory.storage.exports import export
    from labelfactory.storage.label_arrays import point_arrays

    rng = np.random.default_rng(0)
    masks = []
    for path in sorted(builtin_path("builtin:nuclei64", "labels/masks").glob("*.png")):
        with Image.open(path) as picture:
            masks.append(np.asarray(picture))
    for _ in range(48):
        blobs = gaussian_filter(rng.standard_normal((2, SIDE, SIDE)), (0, *[rng.choice([0.7, 1.5, 4])] * 2))
        masks.append(np.where(blobs[0] > 0, 1 + (blobs[1] > 0), 0).astype(np.uint8))
    count = len(masks)
    classes = tuple(ClassInfo(name, (90 * i, 0, 0)) for i, name in enumerate(("background", "nucleus", "neighbour")))
    spec = DatasetSpec(
        count=count, shard_size=32, height=SIDE, width=SIDE, channels=3, latent_dim=2, classes=classes,
        generator_sha256="0" * 64, interpreter_sha256="0" * 64, keep_quantile=1.0,
        label_arrays=point_arrays(("tip", "tail"), uncertainty=False),
    )  # fmt: skip
    points = np.concatenate([rng.uniform(0, SIDE, (count, 2, 2)), np.ones((count, 2, 1))], -1).astype(np.float32)
    arrays = {
        "image": rng.integers(0, 256, (count, SIDE, SIDE, 3), dtype=np.uint8),
        "mask": np.stack(masks),
        "uncertainty": np.zeros((count, SIDE, SIDE), np.float16),
        "uncertainty_score": np.zeros(count, np.float32),
        "latent": np.zeros((count, 2), np.float32),
        "keypoints": points,
    }
    with create_store(str(folder / "set"), spec) as store:
        for shard in store.claim_missing():
            part = slice(*spec.shard_range(shard))
            seeds = sample_seeds(spec.seed, part.start, part.stop)
            store.write_shard(shard, {name: array[part] for name, array in arrays.items()} | {"seed": seeds})
        finalize(store)
    np.save(folder / "points.npy", points)
    for format in ("yolo", "yolo-pose", "coco", "png"):
        for remark in export(open_dataset(str(folder / "set")), format, folder / format).remarks:
            print(f"{format}: {remark}")


def judge_ultralytics(folder: Path, train: bool) -> dict[str, object]:
    """What ultralytics makes of the exports. Runs where it is installed; nothing of ours is imported here."""
    import ultralytics
    from PIL import Image
    from ultralytics.cfg import get_cfg
    from ultralytics.data.dataset import YOLODataset
    from ultralytics.data.utils import check_det_dataset

    os.chdir("/")  # data.yaml must not depend on where the reader is

    def opened(format: str, task: str) -> YOLODataset:
        data = check_det_dataset(str(folder / format / "data.yaml"))
        hyp = get_cfg(overrides={"mask_ratio": 1, "task": task})
        return YOLODataset(
            img_path=data["train"], imgsz=SIDE, augment=False, hyp=hyp, data=data, task=task, rect=False, batch_size=1
        )

    wrong = grown = area = 0
    segments = opened("yolo", "segment")
    for i in range(len(segments)):
        item = segments[i]
        objects = item["masks"][0].numpy()
        classes = np.array([0, *(1 + item["cls"].flatten().numpy().astype(int))])[objects]
        with Image.open(folder / "png/masks" / Path(item["im_file"]).name) as picture:
            mask = np.asarray(picture)
        wrong += int((classes != mask).sum())
        grown += int((classes > 0).sum())
        area += int((mask > 0).sum())
    points, truth = opened("yolo-pose", "pose"), np.load(folder / "points.npy")
    errors = []
    for i in range(len(points)):
        item = points[i]
        errors.append(
            np.abs(item["keypoints"][0, :, :2].numpy() * SIDE - truth[int(Path(item["im_file"]).stem), :, :2])
        )
    result: dict[str, object] = {
        "ultralytics": ultralytics.__version__,
        "pictures": len(segments),
        "equal pixels, %": round(100 * (1 - wrong / (len(segments) * SIDE * SIDE)), 4),
        "objects' area, % of the store's": round(100 * grown / area, 3),
        "key points, largest error in px": round(float(np.max(errors)), 5),
    }
    if train:
        from ultralytics import YOLO

        for format, model in (("yolo", "yolo11n-seg.yaml"), ("yolo-pose", "yolo11n-pose.yaml")):
            YOLO(model).train(
                data=str(folder / format / "data.yaml"), epochs=1, imgsz=SIDE, device="cpu", workers=0, plots=False,
                project=str(folder / "runs"), name=format, amp=False, verbose=False,
            )  # fmt: skip
            result[f"one epoch of {model}"] = "ran"
    return result


def judge_datumaro(folder: Path, train: bool) -> dict[str, object]:
    """What datumaro makes of the COCO export; nothing of ours is imported here."""
    import importlib.metadata

    from datumaro import AnnotationType
    from datumaro.components.dataset import Dataset
    from PIL import Image

    result: dict[str, object] = {"datumaro": importlib.metadata.version("datumaro")}
    names = ("background", "nucleus", "neighbour")
    for format, shown in (("coco_instances", names[1:]), ("coco_panoptic", names)):
        dataset = Dataset.import_from(str(folder / "coco"), format)
        labels = [category.name for category in dataset.categories()[AnnotationType.label].items]
        wrong = 0
        for item in dataset:
            with Image.open(folder / f"png/masks/{item.id}.png") as picture:
                mask = np.asarray(picture)
            seen = np.zeros(mask.shape, np.uint8)
            for entry in item.annotations:
                if hasattr(entry, "image"):
                    seen[np.asarray(entry.image) > 0] = names.index(labels[entry.label])
            wrong += int((seen != np.where(np.isin(mask, [names.index(name) for name in shown]), mask, 0)).sum())
        result[f"{format}: pictures, wrong pixels"] = [len(dataset), wrong]
    truth, errors = np.load(folder / "points.npy"), []
    for item in Dataset.import_from(str(folder / "coco"), "coco_person_keypoints"):
        [entry] = [entry for entry in item.annotations if entry.type == AnnotationType.points]
        errors.append(np.abs(np.reshape(entry.points, (-1, 2)) - truth[int(item.id), :, :2]).max())
    result["coco_person_keypoints: pictures, largest error in px"] = [len(errors), round(float(max(errors)), 5)]
    return result


def judge_supervision(folder: Path, train: bool) -> dict[str, object]:
    """What supervision makes of the YOLO and COCO exports; nothing of ours is imported here."""
    import supervision
    from PIL import Image

    names = ("background", "nucleus", "neighbour")
    result: dict[str, object] = {"supervision": supervision.__version__}
    opened = {
        "yolo": supervision.DetectionDataset.from_yolo(
            str(folder / "yolo/images/train"), str(folder / "yolo/labels/train"), str(folder / "yolo/data.yaml"),
            force_masks=True,
        ),
        "coco": supervision.DetectionDataset.from_coco(
            str(folder / "coco/images/train"), str(folder / "coco/annotations/instances_train.json"), force_masks=True
        ),
    }  # fmt: skip
    for format, dataset in opened.items():
        wrong = 0
        for path, _, found in dataset:
            with Image.open(folder / "png/masks" / Path(path).name) as picture:
                mask = np.asarray(picture)
            seen = np.zeros(mask.shape, np.uint8)
            for pixels, number in zip(found.mask, found.class_id, strict=True):
                seen[pixels] = names.index(dataset.classes[number])
            wrong += int((seen != mask).sum())
        result[f"{format}: pictures, equal pixels in %"] = [
            len(dataset),
            round(100 * (1 - wrong / mask.size / len(dataset)), 4),
        ]
    return result


JUDGES = {"ultralytics": judge_ultralytics, "datumaro": judge_datumaro, "supervision": judge_supervision}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for tool in JUDGES:
        parser.add_argument(f"--{tool}", default=sys.executable, help=f"interpreter of an environment with {tool}")
    parser.add_argument("--train", action="store_true", help="also train for one epoch with ultralytics")
    parser.add_argument("--judge", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.judge:
        tool, name = args.judge
        (Path(name) / f"{tool}.json").write_text(json.dumps(JUDGES[tool](Path(name), args.train)))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for tool in JUDGES:
            python = getattr(args, tool)
            if subprocess.run([python, "-c", f"import {tool}"], capture_output=True).returncode:
                print(f"skipped: {python} has no {tool}; name one that has with --{tool}")
                continue
            if not (folder / "set").exists():
                make(folder)
            call = [python, __file__, "--judge", tool, name, *(["--train"] if args.train else [])]
            done = subprocess.run(call, capture_output=True, text=True, env={**os.environ, "YOLO_OFFLINE": "true"})
            if done.returncode:
                sys.exit(f"{tool} failed:\n{done.stdout}\n{done.stderr}")
            for what, value in json.loads((folder / f"{tool}.json").read_text()).items():
                print(f"{what}: {value}")


if __name__ == "__main__":
    main()
