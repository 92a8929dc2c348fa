"""One set of masks as every format stores it: what the contract's tests hand to the importer.

A new format adds a function here and a line in ``EXAMPLES``.
"""

import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import roifile
from nuclei_world import NUCLEI_CLASSES
from PIL import Image
from pycocotools import mask as coco_api
from scipy import ndimage

from labelfactory.interpreters.classes import LabelClass, palette
from labelfactory.interpreters.formats.drawing import Drawing
from labelfactory.interpreters.formats.label_studio_tasks import brushes, task
from labelfactory.interpreters.formats.labelme_files import document, polygons
from labelfactory.interpreters.formats.outlines import components
from labelfactory.interpreters.formats.source import Source
from labelfactory.interpreters.formats.table import open_format
from labelfactory.interpreters.labelset import LabelSet
from labelfactory.interpreters.pictures import save_mask

NOTHING = LabelSet(NUCLEI_CLASSES, (), "g", "ab" * 32)


def read(
    format: str, path: Path, labels: LabelSet = NOTHING, mapping: Mapping[str, str] | None = None
) -> list[Drawing]:
    """All drawings of a source in a format of the table."""
    return list(open_format(format).read(Source(path), labels, mapping or {}))


def pixels(drawing: Drawing, size: tuple[int, int]) -> dict[str, list[list[int]]]:
    """Places (y, x) that each label of a drawing covers, by itself."""
    return {s.label: np.argwhere(s.region.fill(*size)).tolist() for s in drawing.shapes}


Writer = Callable[[LabelSet, Path], None]


def write_png(labels: LabelSet, folder: Path) -> None:
    for s in labels:
        save_mask(folder / f"{s.name}.png", s.mask, labels.classes)


def write_grey(labels: LabelSet, folder: Path) -> None:
    for s in labels:
        Image.fromarray(s.mask).save(folder / f"{s.name}.png")


def write_rgb(labels: LabelSet, folder: Path) -> None:
    for s in labels:
        Image.fromarray(palette(labels.classes)[s.mask]).save(folder / f"{s.name}.png")


def write_labelme(labels: LabelSet, folder: Path) -> None:
    for s in labels:
        text = document(f"../images/{s.name}.png", s.mask.shape, polygons(s.mask, labels.classes))
        (folder / f"{s.name}.json").write_text(json.dumps(text))


def write_cvat_masks(labels: LabelSet, folder: Path) -> None:
    (folder / "SegmentationClass").mkdir()
    lines = (f"{c.name}:{','.join(map(str, c.color))}::\n" for c in labels.classes)
    (folder / "labelmap.txt").write_text("".join(lines) + "__ignore__:128,128,128::\n", encoding="utf-8")
    for s in labels:
        Image.fromarray(palette(labels.classes)[s.mask]).save(folder / "SegmentationClass" / f"{s.name}.png")


def write_coco(labels: LabelSet, folder: Path) -> None:
    names = {i: c.name for i, c in enumerate(labels.classes)} | {255: "__ignore__"}
    data: dict[str, Any] = {
        "images": [
            {"id": i, "file_name": f"{s.name}.png", "height": s.mask.shape[0], "width": s.mask.shape[1]}
            for i, s in enumerate(labels)
        ],
        "categories": [{"id": i, "name": n} for i, n in names.items()],
        "annotations": [],
    }
    for i, s in enumerate(labels):
        for value in np.unique(s.mask).tolist():
            code = coco_api.encode(np.asfortranarray((s.mask == value).astype(np.uint8)))
            code["counts"] = code["counts"].decode()
            data["annotations"].append({"image_id": i, "category_id": value, "segmentation": code})
    (folder / "instances.json").write_text(json.dumps(data), encoding="utf-8")


def write_label_studio(labels: LabelSet, folder: Path) -> None:
    tasks = []
    for s in labels:
        made = task(s.name, "data:,", brushes(s.name, s.mask, labels.classes))
        tasks.append({"data": made["data"], "annotations": [{"result": made["predictions"][0]["result"]}]})
    (folder / "export.json").write_text(json.dumps(tasks), encoding="utf-8")


def values_of(labels: LabelSet) -> dict[int, str]:
    """Label of every value of a mask, "not labelled" among them."""
    return {i: c.name for i, c in enumerate(labels.classes)} | {255: "__ignore__"}


def row_runs(pixels: np.ndarray) -> list[int]:
    """Run lengths along the rows, first of the outside."""
    flat = pixels.ravel()
    edges = np.concatenate([[0], np.flatnonzero(np.diff(flat.astype(int))) + 1, [flat.size]])
    return [*([0] if flat[0] else []), *np.diff(edges).tolist()]


def write_cvat_xml(labels: LabelSet, folder: Path) -> None:
    """Masks in their boxes; "z_order" the other way round than the file's order."""
    root = ElementTree.Element("annotations")
    ElementTree.SubElement(root, "version").text = "1.1"
    for i, s in enumerate(labels):
        height, width = s.mask.shape
        image = ElementTree.SubElement(
            root, "image", id=str(i), name=f"{s.name}.png", width=str(width), height=str(height)
        )
        for value in reversed(np.unique(s.mask).tolist()):
            inside = s.mask == value
            rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
            part = inside[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            ElementTree.SubElement(
                image, "mask", label=values_of(labels)[value], source="manual", occluded="0", z_order=str(value),
                rle=", ".join(map(str, row_runs(part))), left=str(columns[0]), top=str(rows[0]),
                width=str(part.shape[1]), height=str(part.shape[0]),
            )  # fmt: skip
    ElementTree.ElementTree(root).write(folder / "annotations.xml", "utf-8", xml_declaration=True)


def outlines_of(labels: LabelSet, mask: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """(label, corners) in drawing order; the ground first, so that all of the image is drawn."""
    height, width = mask.shape
    ground = np.array([(0, 0), (width, 0), (width, height), (0, height)])
    names = values_of(labels)
    return [(names[0], ground), *((names[v], points) for v, points in components(mask))]


def write_yolo(labels: LabelSet, folder: Path) -> None:
    names = list(values_of(labels).values())
    lines = [f"  {i}: {json.dumps(n, ensure_ascii=False)}" for i, n in enumerate(names)]
    text = "\n".join(["path: ../datasets/cells", "train: images/train", "val: images/train", "names:", *lines, ""])
    (folder / "data.yaml").write_text(text, encoding="utf-8")
    (folder / "labels" / "train").mkdir(parents=True)
    for s in labels:
        scale = np.array(s.mask.shape[::-1])
        rows = [
            f"{names.index(label)} " + " ".join(f"{v:.6f}" for v in (points / scale).ravel())
            for label, points in outlines_of(labels, s.mask)
        ]
        (folder / "labels" / "train" / f"{s.name}.txt").write_text("\n".join(rows), encoding="utf-8")


def write_voc_masks(labels: LabelSet, folder: Path) -> None:
    (folder / "SegmentationClassPNG").mkdir()
    (folder / "class_names.txt").write_text("\n".join(["__ignore__", *labels.class_names]), encoding="utf-8")
    for s in labels:
        save_mask(folder / "SegmentationClassPNG" / f"{s.name}.png", s.mask, labels.classes)


def write_voc_xml(labels: LabelSet, folder: Path) -> None:
    """With outlines, as Roboflow writes them."""
    (folder / "Annotations").mkdir()
    for s in labels:
        root = ElementTree.Element("annotation")
        ElementTree.SubElement(root, "filename").text = f"{s.name}.png"
        size = ElementTree.SubElement(root, "size")
        ElementTree.SubElement(size, "width").text = str(s.mask.shape[1])
        ElementTree.SubElement(size, "height").text = str(s.mask.shape[0])
        for label, points in outlines_of(labels, s.mask):
            entry = ElementTree.SubElement(root, "object")
            ElementTree.SubElement(entry, "name").text = label
            polygon = ElementTree.SubElement(entry, "polygon")
            for i, (x, y) in enumerate(points.tolist(), 1):
                ElementTree.SubElement(polygon, f"x{i}").text = str(x)
                ElementTree.SubElement(polygon, f"y{i}").text = str(y)
        ElementTree.ElementTree(root).write(folder / "Annotations" / f"{s.name}.xml", "utf-8")


def write_cityscapes(labels: LabelSet, folder: Path) -> None:
    """Class numbers with datumaro's list of names, as sets of other classes have it."""
    (folder / "gtFine" / "train").mkdir(parents=True)
    rows = [f"{' '.join(map(str, c.color))} {c.name}" for c in labels.classes]
    (folder / "label_colors.txt").write_text("\n".join(rows), encoding="utf-8")
    for s in labels:
        Image.fromarray(s.mask).save(folder / "gtFine" / "train" / f"{s.name}_gtFine_labelIds.png")


def write_cityscapes_polygons(labels: LabelSet, folder: Path) -> None:
    for s in labels:
        objects = [  # a pixel each: corners are pixels, and those on the outline count
            {"label": "unlabeled" if v == 255 else values_of(labels)[v], "polygon": [[x, y]] * 3}
            for (y, x), v in np.ndenumerate(s.mask)
        ]
        document = {"imgHeight": s.mask.shape[0], "imgWidth": s.mask.shape[1], "objects": objects}
        (folder / f"{s.name}_gtFine_polygons.json").write_text(json.dumps(document), encoding="utf-8")


def write_panoptic(labels: LabelSet, folder: Path) -> None:
    """Every connected region a segment, numbered beyond 256; what is not labelled is black."""
    (folder / "annotations" / "panoptic_train").mkdir(parents=True)
    data: dict[str, Any] = {
        "images": [{"id": i, "file_name": f"{s.name}.jpg"} for i, s in enumerate(labels)],
        "categories": [{"id": i, "name": c.name, "isthing": 1} for i, c in enumerate(labels.classes)],
        "annotations": [],
    }
    for i, s in enumerate(labels):
        numbers, info = np.zeros(s.mask.shape, np.int64), []
        for value in range(len(labels.classes)):
            regions, count = ndimage.label(s.mask == value)
            for k in range(1, count + 1):
                number = 263 * len(info) + 7
                numbers[regions == k] = number
                info.append({"id": number, "category_id": value, "area": int((regions == k).sum())})
        rgb = np.stack([numbers & 255, numbers >> 8 & 255, numbers >> 16], -1).astype(np.uint8)
        Image.fromarray(rgb).save(folder / "annotations" / "panoptic_train" / f"{s.name}.png")
        data["annotations"].append({"image_id": i, "file_name": f"{s.name}.png", "segments_info": info})
    (folder / "annotations" / "panoptic_train.json").write_text(json.dumps(data), encoding="utf-8")


def write_roboflow_masks(labels: LabelSet, folder: Path) -> None:
    (folder / "train").mkdir()
    rows = [f"{i}, {name}" for i, name in values_of(labels).items()]
    (folder / "train" / "_classes.csv").write_text("\n".join(["Pixel Value, Class", *rows]), encoding="utf-8")
    for s in labels:
        name = f"{s.name}_png.rf.0123456789abcdef0123456789abcdef"
        Image.fromarray(s.mask).save(folder / "train" / f"{name}_mask.png")


def write_via(labels: LabelSet, folder: Path) -> None:
    images = {}
    for s in labels:
        regions = [
            {
                "shape_attributes": {
                    "name": "polygon",
                    "all_points_x": points[:, 0].tolist(),
                    "all_points_y": points[:, 1].tolist(),
                },
                "region_attributes": {"class": label},
            }
            for label, points in outlines_of(labels, s.mask)
        ]
        images[f"{s.name}.png1234"] = {
            "filename": f"{s.name}.png", "size": 1234, "regions": regions, "file_attributes": {},
        }  # fmt: skip
    project = {"_via_settings": {}, "_via_img_metadata": images, "_via_attributes": {}}
    (folder / "via_project.json").write_text(json.dumps(project), encoding="utf-8")


def write_imagej(labels: LabelSet, folder: Path) -> None:
    """A set of regions an image, named after their labels and numbered."""
    for s in labels:
        with zipfile.ZipFile(folder / f"{s.name}_RoiSet.zip", "w") as archive:
            for i, (label, points) in enumerate(outlines_of(labels, s.mask)):
                roi = roifile.ImagejRoi.frompoints(points.astype(np.int32), name=f"{label}-{i}")
                archive.writestr(f"{label}-{i}.roi", roi.tobytes())


def write_darwin(labels: LabelSet, folder: Path) -> None:
    for s in labels:
        height, width = s.mask.shape
        names = values_of(labels)
        used = np.unique(s.mask).tolist()
        annotations: list[dict[str, Any]] = [{"id": f"id-{v}", "name": names[v], "mask": {}} for v in used]
        edges = np.concatenate([[0], np.flatnonzero(np.diff(s.mask.ravel().astype(int))) + 1, [s.mask.size]])
        numbers = {v: k for k, v in enumerate(used, 1)}
        code = [n for a, b in pairwise(edges.tolist()) for n in (numbers[int(s.mask.ravel()[a])], b - a)]
        layer = {
            "dense_rle": code,
            "mask_annotation_ids_mapping": {f"id-{v}": k for v, k in numbers.items()},
            "total_pixels": s.mask.size,
        }
        annotations.append({"id": "layer", "name": "__raster_layer__", "raster_layer": layer})
        slot = {"slot_name": "0", "type": "image", "width": width, "height": height}
        document = {
            "version": "2.0",
            "item": {"name": f"{s.name}.png", "path": "/", "slots": [slot]},
            "annotations": annotations,
        }
        (folder / f"{s.name}.json").write_text(json.dumps(document), encoding="utf-8")


def write_label_studio_brush(labels: LabelSet, folder: Path) -> None:
    """PNG of one task, NumPy of the other, and the export that says which task is which image."""
    tasks = []
    for i, s in enumerate(labels, 12):
        for value in np.unique(s.mask).tolist():
            pixels = np.where(s.mask == value, 255, 0).astype(np.uint8)
            path = folder / f"task-{i}-annotation-{i + 20}-by-1-brush-{values_of(labels)[value]}-0.png"
            if i % 2:
                np.save(path.with_suffix(".npy"), pixels)
            else:
                Image.fromarray(pixels).save(path)
        tasks.append({"id": i, "data": {"image": f"/data/upload/1/0a1b2c3d-{s.name}.png"}, "annotations": []})
    (folder / "tasks.json").write_text(json.dumps(tasks), encoding="utf-8")


def write_label_studio_min(labels: LabelSet, folder: Path) -> None:
    entries = []
    for i, s in enumerate(labels):
        made = task(s.name, "data:,", brushes(s.name, s.mask, labels.classes))
        results = made["predictions"][0]["result"]
        size = {"original_width": s.mask.shape[1], "original_height": s.mask.shape[0]}
        regions = [r["value"] | size for r in results]
        entries.append({"image": f"/data/upload/1/0a1b2c3d-{s.name}.png", "id": i, "brush": regions, "annotator": 1})
    (folder / "export.json").write_text(json.dumps(entries), encoding="utf-8")


def write_own(labels: LabelSet, folder: Path) -> None:
    replace(labels, truncation=0.5).save(folder / "set")
    for path in sorted((folder / "set").iterdir()):
        path.rename(folder / path.name)
    (folder / "set").rmdir()


EXAMPLES: dict[str, tuple[str, Writer]] = {
    "png indexed": ("png", write_png),
    "png grey": ("png", write_grey),
    "png colours": ("png", write_rgb),
    "labelme": ("labelme", write_labelme),
    "coco": ("coco", write_coco),
    "label-studio": ("label-studio", write_label_studio),
    "label-studio min": ("label-studio", write_label_studio_min),
    "label-studio brush": ("label-studio-brush", write_label_studio_brush),
    "cvat": ("cvat", write_cvat_masks),
    "cvat xml": ("cvat", write_cvat_xml),
    "yolo": ("yolo", write_yolo),
    "voc masks": ("voc", write_voc_masks),
    "voc xml": ("voc", write_voc_xml),
    "cityscapes": ("cityscapes", write_cityscapes),
    "cityscapes polygons": ("cityscapes", write_cityscapes_polygons),
    "coco panoptic": ("coco-panoptic", write_panoptic),
    "roboflow masks": ("roboflow-masks", write_roboflow_masks),
    "via": ("via", write_via),
    "imagej": ("imagej", write_imagej),
    "darwin": ("darwin", write_darwin),
    "label set": ("label-set", write_own),
}
"""Name of an example, to the format that it is in and what writes a label set's masks into a folder."""

CLASSES = (*NUCLEI_CLASSES, LabelClass("zwölf Kerne", (0, 158, 115)))
