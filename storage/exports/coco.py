"""COCO: instances (run lengths), panoptic (id-coded PNGs) and, where the store has them, key points.

Formats: https://cocodataset.org/#format-data, in the layout in which tools look for a subset: ``images/train/``,
``annotations/instances_train.json``, ``panoptic_train.json`` with ``panoptic_train/``, ``person_keypoints_train.json``
(the name that readers of key points know, whatever the points are of). Category ids are the class's number plus one (0
means nothing to COCO's tools); key points have a category of their own behind them.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int
from PIL import Image

from labelfactory.errors import WorkError
from labelfactory.masks import countable
from labelfactory.storage.arrays import ArraySpec
from labelfactory.storage.dataset import Dataset
from labelfactory.storage.exports.encodings import image_png, name_of, png, read_image, read_png
from labelfactory.storage.exports.engine import NOTES, Export, explained, in_parallel
from labelfactory.storage.exports.facts import facts, is_fact, plain
from labelfactory.storage.exports.objects import objects_of, points_box, seen_points
from labelfactory.storage.segments import Segment, compressed_run_lengths, run_lengths
from labelfactory.whole_files import whole_file

SUBSET = "train"
TRACKS = 2**16  # numbers of objects in a sequence


class CocoExport(Export):
    layout = 2

    def __init__(self, dataset: Dataset, out: Path, masks: str = "grey") -> None:
        super().__init__(dataset, out, masks)
        self.points, self.doubt = self.spec.of_role("points"), self.spec.of_role("points uncertainty")
        self.things, _ = countable(self.spec.classes)
        self.ids_per_image = self.spec.height * self.spec.width + 1  # no image has more segments than pixels

    def holds(self, array: ArraySpec) -> bool:
        return array.role in ("image", "mask", "objects") or is_fact(array)

    def write(self, shard: int, samples: Int[np.ndarray, "n"]) -> tuple[list[str], dict[str, Any]]:
        image, found = self.dataset.read("image", samples), objects_of(self.dataset, samples)

        def one(i: int) -> list[str]:
            name = name_of(samples[i])
            ids = np.zeros((self.spec.height, self.spec.width), np.uint32)
            for number, segment in enumerate(found[i], 1):
                ids[segment.pixels] = number
            rgb = np.stack([ids & 255, ids >> 8 & 255, ids >> 16], -1).astype(np.uint8)
            return [
                self.save(f"images/{SUBSET}/{name}.png", image_png(image[i])),
                self.save(f"annotations/panoptic_{SUBSET}/{name}.png", png(Image.fromarray(rgb))),
            ]

        files = [path for paths in in_parallel(one, len(samples)) for path in paths]
        summary: dict[str, Any] = {"images": [], "instances": [], "panoptic": [], "keypoints": []}
        points = None if self.points is None else self.dataset.read(self.points.name, samples)
        for i, row in enumerate(facts(self.dataset, samples)):
            sample = row.pop("index")
            doubt = None if self.doubt is None else row.pop(self.doubt.name)
            if self.points is not None:
                del row[self.points.name]  # the image's facts are the rest
            summary["images"].append(self._image(sample) | row)
            summary["instances"] += [self._instance(sample, n, s) for n, s in enumerate(found[i], 1) if s.thing]
            summary["panoptic"].append(self._panoptic(sample, found[i]))
            if points is not None and (entry := self._keypoints(sample, points[i], found[i])) is not None:
                summary["keypoints"].append(entry if doubt is None else entry | {"keypoint_uncertainty": doubt})
        path = self.save(f"{NOTES}/{shard:06d}.annotations.json", json.dumps(summary).encode())
        return [*files, path], {"annotations": path}

    def _image(self, sample: int) -> dict[str, Any]:
        size = {"height": self.spec.height, "width": self.spec.width}
        return {"id": sample, "file_name": f"{name_of(sample)}.png", **size, "license": 1}

    def _instance(self, sample: int, number: int, segment: Segment) -> dict[str, Any]:
        text = compressed_run_lengths(run_lengths(segment.pixels))
        walk = self.spec.walk  # its objects keep their number through a sequence, and so one id through the whole set
        track = {"track_id": sample // walk * TRACKS + segment.number} if walk and segment.number else {}
        return {
            "id": sample * self.ids_per_image + number,
            "image_id": sample,
            "category_id": segment.class_id + 1,
            "segmentation": {"size": [self.spec.height, self.spec.width], "counts": text},
            "area": segment.area,
            "bbox": segment.box,
            "iscrowd": 0,
            **track,
        }

    def _panoptic(self, sample: int, found: list[Segment]) -> dict[str, Any]:
        info = [
            {"id": n, "category_id": s.class_id + 1, "area": s.area, "bbox": s.box, "iscrowd": 0}
            for n, s in enumerate(found, 1)
        ]
        return {"image_id": sample, "file_name": f"{name_of(sample)}.png", "segments_info": info}

    def _keypoints(self, sample: int, points: np.ndarray, found: list[Segment]) -> dict[str, Any] | None:
        """One object an image: x, y and 2 (visible) of each point, 0 0 0 of one that is not in the picture."""
        box = points_box(self.spec, points, found)
        if box is None:
            return None
        seen = seen_points(self.spec, points)
        triples = [[float(x), float(y), 2] if ok else [0, 0, 0] for (x, y, _), ok in zip(points, seen, strict=True)]
        return {
            "id": sample * self.ids_per_image + 1,
            "image_id": sample,
            "category_id": len(self.spec.classes) + 1,
            "keypoints": [value for triple in triples for value in triple],
            "num_keypoints": int(seen.sum()),
            "keypoint_confidence": plain(points[:, 2]),
            "area": box[2] * box[3],
            "bbox": box,
            "iscrowd": 0,
        }

    def finish(self, notes: Iterator[dict[str, Any]]) -> list[str]:
        paths = [self.out / note["annotations"] for note in notes]
        classes = [
            {"id": i + 1, "name": info.name, "supercategory": "", "isthing": int(i in self.things), "color": info.color}
            for i, info in enumerate(self.spec.classes)
        ]
        things = [entry for entry in classes if entry["isthing"]]
        files = [
            self._document("instances", things, paths, "instances"),
            self._document("panoptic", classes, paths, "panoptic"),
        ]
        if self.points is not None:
            name = "object"
            while name in [entry["name"] for entry in classes]:
                name += "_"
            entry = {"id": len(classes) + 1, "name": name, "supercategory": "", "skeleton": []}
            category = {**entry, "keypoints": [channel.name for channel in self.points.channels]}
            files.append(self._document("person_keypoints", [category], paths, "keypoints"))
        return files

    def _document(self, name: str, categories: list[dict[str, Any]], paths: list[Path], key: str) -> str:
        """One of COCO's files, put together shard by shard: it may be larger than memory."""
        path = f"annotations/{name}_{SUBSET}.json"
        target = self.out / path
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
        return path

    def check(self, shard: int, samples: Int[np.ndarray, "n"]) -> None:
        image, mask = self.dataset.read("image", samples), self.dataset.read("mask", samples)
        summary = json.loads((self.out / f"{NOTES}/{shard:06d}.annotations.json").read_text())
        panoptic = {entry["image_id"]: entry for entry in summary["panoptic"]}

        def one(i: int) -> None:
            sample = int(samples[i])
            name = name_of(sample)
            self.same("image", sample, read_image(self.out / f"images/{SUBSET}/{name}.png"), image[i])
            rgb = read_png(self.out / f"annotations/panoptic_{SUBSET}/{name}.png").astype(np.uint32)
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
        for i, sample in enumerate(samples.tolist()):
            self.same("instances' area", sample, areas.get(sample, 0), int(np.isin(mask[i], self.things).sum()))
