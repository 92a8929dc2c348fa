"""Darwin JSON: versions 1 and 2, holes, masks in one layer, and what is refused."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from format_examples import read
from formats_world import H, W, blank, boxes

from labelfactory.errors import InputError
from labelfactory.interpreters.formats import import_labels


def path(*points: tuple[float, float]) -> list[dict[str, float]]:
    return [{"x": x, "y": y} for x, y in points]


SQUARE = path((2, 3), (12, 3), (12, 15), (2, 15))
HOLE = path((5, 6), (8, 6), (8, 9), (5, 9))
SLOT = {"slot_name": "0", "type": "image", "width": W, "height": H}


def write(folder: Path, *annotations: dict[str, Any], slots: Any = (SLOT,)) -> Path:
    item = {"name": "seed000001.png", "path": "/", "slots": list(slots)}
    annotations = tuple({"id": str(i), "name": "nucleus", "slot_names": ["0"]} | a for i, a in enumerate(annotations))
    document = {"version": "2.0", "item": item, "annotations": annotations}
    (folder / "seed000001.json").write_text(json.dumps(document))
    return folder


def test_polygons_with_holes_in_both_versions(tmp_path: Path) -> None:
    expected = boxes((1, 2, 3, 12, 15), (0, 5, 6, 8, 9))
    box = {"x": 2, "y": 3, "w": 10, "h": 12}
    result, report = import_labels(
        blank(), write(tmp_path, {"polygon": {"paths": [SQUARE, HOLE]}, "bounding_box": box})
    )
    assert report.format == "darwin"
    np.testing.assert_array_equal(result.samples[0].mask, expected)
    old = {
        "dataset": "cells",
        "image": {"width": W, "height": H, "filename": "seed000001.png"},
        "annotations": [{"name": "nucleus", "polygon": {"path": SQUARE, "additional_paths": [HOLE]}}],
    }
    (tmp_path / "seed000001.json").write_text(json.dumps(old))
    result, _ = import_labels(blank(), tmp_path)
    np.testing.assert_array_equal(result.samples[0].mask, expected)


def test_ellipses_boxes_and_points(tmp_path: Path) -> None:
    node = {"name": "top", "x": 1.5, "y": 2.5, "occluded": True}
    annotations = [
        {"ellipse": {"center": {"x": 10, "y": 9}, "radius": {"x": 5, "y": 2}, "angle": math.pi / 2}},
        {"bounding_box": {"x": 2, "y": 3, "w": 10, "h": 12}},
        {"name": "tip", "keypoint": {"x": 3, "y": 4}},
        {"skeleton": {"nodes": [node]}},
        {"tag": {}},
    ]
    [drawing] = read("darwin", write(tmp_path, *annotations))
    ellipse, box = (s.region.fill(H, W) for s in drawing.shapes)
    y, x = np.mgrid[:H, :W] + 0.5
    np.testing.assert_array_equal(ellipse, ((x - 10) / 2) ** 2 + ((y - 9) / 5) ** 2 <= 1 + 1e-12)
    np.testing.assert_array_equal(box, boxes((1, 2, 3, 12, 15)) == 1)
    assert [(k.label, k.x, k.y, k.visible) for k in drawing.keypoints] == [
        ("tip", 3, 4, True),
        ("top", 1.5, 2.5, False),
    ]
    assert "a tag is of the whole image" in drawing.notes[0]


LAYER = {"dense_rle": [0, 100, 1, 80, 2, 300], "mask_annotation_ids_mapping": {"a": 1, "b": 2}, "total_pixels": H * W}


def layer(**changes: Any) -> list[dict[str, Any]]:
    masks = [{"id": "a", "mask": {}}, {"id": "b", "name": "neighbour", "mask": {}}]
    return [*masks, {"name": "__raster_layer__", "raster_layer": LAYER | changes}]


def test_masks_in_one_layer(tmp_path: Path) -> None:
    result, _ = import_labels(blank(), write(tmp_path, *layer()))
    expected = np.repeat(np.array([0, 1, 2], np.uint8), [100, 80, 300]).reshape(H, W)
    np.testing.assert_array_equal(result.samples[0].mask, expected)


@pytest.mark.parametrize(
    ("annotations", "message"),
    [
        ([{"polygon": {"paths": [SQUARE[:2]]}}], r"annotations\[0\] \('nucleus'\): a polygon of 2 points"),
        ([{"polygon": {"paths": [[{"x": 1}]]}}], '"y" is missing'),
        ([{"polygon": {"paths": [path((0, 0), (1e9, 0), (1, 1))]}}], "is not in the image"),
        ([{"polygon": {}}], '"path" is missing'),
        ([{"rocket": {}}], "has none of polygon, ellipse, bounding_box"),
        (layer(dense_rle=[1, 10]), "dense_rle adds up to 10 pixels; expected 20 x 24"),
        (layer(dense_rle=[1, 2**70]), "dense_rle adds up to"),
        (layer(dense_rle=[1]), "dense_rle adds up to 0"),
        (layer(dense_rle=[1, -20, 2, 500]), "dense_rle adds up to"),
        (layer(mask_annotation_ids_mapping={"z": 1}), "mask 'z' is not among the annotations"),
    ],
)
def test_wrong_annotations_are_named(tmp_path: Path, annotations: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read("darwin", write(tmp_path, *annotations))


def test_videos_several_slots_and_lines(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has 2 slots; expected one picture"):
        read("darwin", write(tmp_path, slots=(SLOT, SLOT)))
    with pytest.raises(InputError, match="is a video; expected an image"):
        read("darwin", write(tmp_path, slots=(SLOT | {"type": "video"},)))
    write(tmp_path, {"name": "scale", "line": {"path": SQUARE}})
    with pytest.raises(InputError, match="a line has no area"):
        import_labels(blank(), tmp_path, mapping={"scale": "nucleus"})
