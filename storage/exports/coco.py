"""COCO: instances (run lengths), panoptic (id-coded PNGs) and, where the store has them, keypoints.

Formats: https://cocodataset.org/#format-data. Ids are the class's number plus one (0 means nothing to COCO's tools).
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int
from PIL import Image

from labelfactory.errors import WorkError
from labelfactory.storage.dataset import Dataset
from labelfactory.storage.exports.engine import NOTES, Export, explained, in_parallel
from labelfactory.storage.exports.png import _png, image_png, name_of, read_image, read_png
from labelfactory.storage.segments import Segment, compressed_run_lengths, run_lengths, segments
from labelfactory.whole_files import whole_file

SEGMENTS_PER_IMAGE = 10_000  # room for annotation ids: sample * this + number


class CocoExport(Export):
    def __init__(self, dataset: Dataset, out: Path) -> None:
        super().__init__(dataset, out)
        self.has_instances = dataset.spec.instance
        self.has_keypoints = bool(dataset.spec.keypoints)

    def write(self, shard: int, samples: Int[np.ndarray, "n"]) -> tuple[list[str], dict[str, Any]]:
        image, found = self.dataset.read("image", samples), self._segments(samples)
        points = self.dataset.read("keypoints", samples) if self.has_keypoints else None

        def one(i: int) -> list[str]:
            name = name_of(samples[i])
            ids = np.zeros((self.spec.height, self.spec.width), np.uint32)
            for number, segment in enumerate(found[i], 1):
                ids[segment.pixels] = number
            rgb = np.stack([ids & 255, ids >> 8 & 255, ids >> 16], -1).astype(np.uint8)
            return [
                self.save(f"images/{name}.png", image_png(image[i])),
                self.save(f"annotations/panoptic/{name}.png", _png(Image.fromarray(rgb))),
            ]

        files = [path for paths in in_parallel(one, len(samples)) for path in paths]
        summary: dict[str, Any] = {"images": [], "instances": [], "panoptic": [], "keypoints": []}
        for i, sample in enumerate(samples.tolist()):
            summary["images"].append(self._image(sample))
            summary["instances"] += [self._instance(sample, n, s) for n, s in enumerate(found[i], 1) if s.thing]
            summary["panoptic"].append(self._panoptic(sample, found[i]))
            if points is not None:
                summary["keypoints"].append(self._keypoints(sample, points[i]))
        path = self.save(f"{NOTES}/{shard:06d}.annotations.json", json.dumps(summary).encode())
        return [*files, path], {"annotations": path}

    def _segments(self, samples: Int[np.ndarray, "n"]) -> list[list[Segment]]:
        mask = self.dataset.read("mask", samples)
        instance = self.dataset.read("instance", samples) if self.has_instances else None
        return in_parallel(
            lambda i: list(segments(self.spec, mask[i], None if instance is None else instance[i])), len(samples)
        )

    def _image(self, sample: int) -> dict[str, Any]:
        size = {"height": self.spec.height, "width": self.spec.width}
        return {"id": sample, "file_name": f"{name_of(sample)}.png", **size, "license": 1}

    def _instance(self, sample: int, number: int, segment: Segment) -> dict[str, Any]:
        text = compressed_run_lengths(run_lengths(segment.pixels))
        return {
            "id": sample * SEGMENTS_PER_IMAGE + number,
            "image_id": sample,
            "category_id": segment.class_id + 1,
            "segmentation": {"size": [self.spec.height, self.spec.width], "counts": text},
            "area": segment.area,
            "bbox": segment.box,
            "iscrowd": 0,
        }

    def _panoptic(self, sample: int, found: list[Segment]) -> dict[str, Any]:
        info = [
            {"id": n, "category_id": s.class_id + 1, "area": s.area, "bbox": s.box, "iscrowd": 0}
            for n, s in enumerate(found, 1)
        ]
        return {"image_id": sample, "file_name": f"{name_of(sample)}.png", "segments_info": info}

    def _keypoints(self, sample: int, points: np.ndarray) -> dict[str, Any]:
        """One object an image: x, y and 2 (visible) of each point, 0 0 0 of one that was not found (not finite)."""
        seen = np.isfinite(points).all(axis=1)
        triples = [[float(x), float(y), 2] if ok else [0, 0, 0] for (x, y, _), ok in zip(points, seen, strict=True)]
        xy = points[seen, :2] if seen.any() else np.zeros((1, 2))
        (left, top), (right, bottom) = xy.min(axis=0).tolist(), xy.max(axis=0).tolist()
        return {
            "id": sample * SEGMENTS_PER_IMAGE + 1,
            "image_id": sample,
            "category_id": 1,
            "keypoints": [value for triple in triples for value in triple],
            "num_keypoints": int(seen.sum()),
            "area": (right - left) * (bottom - top),
            "bbox": [left, top, right - left, bottom - top],
            "iscrowd": 0,
        }

    def finish(self, notes: Iterator[dict[str, Any]]) -> list[str]:
        paths = [self.out / note["annotations"] for note in notes]
        classes = [
            {"id": i + 1, "name": info.name, "supercategory": "", "isthing": int(bool(info.thing)), "color": info.color}
            for i, info in enumerate(self.spec.classes)
        ]
        things = [entry for entry in classes if entry["isthing"]]
        files = [
            self._document("instances", things, paths, "instances"),
            self._document("panoptic", classes, paths, "panoptic"),
        ]
        if self.has_keypoints:
            entry = {"id": 1, "name": "object", "supercategory": "", "skeleton": []}
            category = {**entry, "keypoints": list(self.spec.keypoints)}
            files.append(self._document("keypoints", [category], paths, "keypoints"))
        return files

    def _document(self, name: str, categories: list[dict[str, Any]], paths: list[Path], key: str) -> str:
        """One of COCO's files, put together shard by shard: it may be larger than memory."""
        target = self.out / f"annotations/{name}.json"
        head = {
            "info": {"description": f"labelfactory dataset {self.spec.hash[:12]}", "version": "1"},
            "licenses": [{"id": 1, "name": self.spec.licence, "url": ""}],
            "categories": categories,
        }

        def entries(part: str) -> Iterable[str]:
            for path in paths:
                yield from map(json.dumps, json.loads(path.read_text())[part])

        with explained(target), whole_file(target) as file:
            file.write(json.dumps(head)[:-1].encode())
            for title, part in (("images", "images"), ("annotations", key)):
                file.write(f', "{title}": ['.encode())
                for i, entry in enumerate(entries(part)):
                    file.write(((",\n" if i else "\n") + entry).encode())
                file.write(b"]")
            file.write(b"}\n")
        return f"annotations/{name}.json"

    def check(self, shard: int, samples: Int[np.ndarray, "n"]) -> None:
        image, mask = self.dataset.read("image", samples), self.dataset.read("mask", samples)
        summary = json.loads((self.out / f"{NOTES}/{shard:06d}.annotations.json").read_text())
        panoptic = {entry["image_id"]: entry for entry in summary["panoptic"]}

        def one(i: int) -> None:
            sample = int(samples[i])
            name = name_of(sample)
            self.same("image", sample, read_image(self.out / f"images/{name}.png"), image[i])
            rgb = read_png(self.out / f"annotations/panoptic/{name}.png").astype(np.uint32)
            ids = rgb[..., 0] + 256 * rgb[..., 1] + 65536 * rgb[..., 2]
            back = np.full(ids.shape, self.spec.ignore_index, np.uint8)
            for entry in panoptic[sample]["segments_info"]:
                back[ids == entry["id"]] = entry["category_id"] - 1
                if int((ids == entry["id"]).sum()) != entry["area"]:
                    raise WorkError(f"{self.out}: a panoptic segment of sample {sample} has another area than stated")
            self.same("panoptic mask", sample, back, mask[i])

        in_parallel(one, len(samples))
        areas: dict[int, int] = {}
        for entry in summary["instances"]:
            areas[entry["image_id"]] = areas.get(entry["image_id"], 0) + entry["area"]
        things = [class_id for class_id, info in enumerate(self.spec.classes) if info.thing]
        for i, sample in enumerate(samples.tolist()):
            self.same("instances' area", sample, areas.get(sample, 0), int(np.isin(mask[i], things).sum()))
