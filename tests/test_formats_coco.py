"""COCO files: every kind of segmentation, keypoints, and what is refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from format_examples import read
from pycocotools import mask as coco_api

from labelfactory.errors import InputError


def write(path: Path, annotations: list[dict[str, Any]], **changes: Any) -> Path:
    data = {
        "images": [{"id": 7, "file_name": "folder/a.png", "height": 6, "width": 8}],
        "categories": [{"id": 3, "name": "nucleus", "keypoints": ["left", "right"]}, {"id": 9, "name": "other"}],
        "annotations": [{"id": i, "image_id": 7, "category_id": 3} | a for i, a in enumerate(annotations)],
    }
    path.write_text(json.dumps(data | changes))
    return path


def test_polygons_and_both_run_length_codes(tmp_path: Path) -> None:
    pixels = np.zeros((6, 8), np.uint8)
    pixels[1:4, 2:7] = 1
    code = coco_api.encode(np.asfortranarray(pixels))
    annotations = [
        {"segmentation": [[2, 1, 7, 1, 7, 4, 2, 4]]},
        {"segmentation": {"size": [6, 8], "counts": code["counts"].decode()}},
        {"segmentation": {"size": [6, 8], "counts": [13, 3, 3, 3, 3, 3, 3, 3, 3, 3, 8]}, "iscrowd": 1},
        {"segmentation": [[2, 1, 4, 1, 4, 4, 2, 4], [4, 1, 7, 1, 7, 4, 4, 4]], "category_id": 9},
    ]
    [drawing] = read("coco", write(tmp_path / "c.json", annotations))
    assert drawing.names == ("a",)
    assert [s.label for s in drawing.shapes] == ["nucleus"] * 3 + ["other"]
    for shape in drawing.shapes:
        np.testing.assert_array_equal(shape.region.fill(6, 8), pixels)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # inside pycocotools
def test_polygon_rule_agrees_with_the_coco_api_inside(tmp_path: Path) -> None:
    """The COCO API grows outlines by up to half a pixel; apart from that border the two agree."""
    rng = np.random.default_rng(1)
    for _ in range(20):
        angles = np.sort(rng.uniform(0, 2 * np.pi, 9))
        points = np.stack(
            [32 + rng.uniform(10, 28, 9) * np.cos(angles), 32 + rng.uniform(10, 28, 9) * np.sin(angles)], 1
        )
        theirs = coco_api.decode(coco_api.frPyObjects([points.ravel().tolist()], 64, 64))[..., 0] > 0
        image = [{"id": 7, "file_name": "a.png"}]
        [drawing] = read(
            "coco", write(tmp_path / "c.json", [{"segmentation": [points.ravel().tolist()]}], images=image)
        )
        ours = drawing.shapes[0].region.fill(64, 64)
        assert (ours & theirs).sum() / (ours | theirs).sum() > 0.93


def test_keypoints_with_visibility(tmp_path: Path) -> None:
    [drawing] = read("coco", write(tmp_path / "c.json", [{"keypoints": [1.5, 2.5, 2, 4, 5, 1], "num_keypoints": 2}]))
    assert [(k.label, k.x, k.y, k.visible) for k in drawing.keypoints] == [
        ("left", 1.5, 2.5, True),
        ("right", 4, 5, False),
    ]
    [drawing] = read("coco", write(tmp_path / "c.json", [{"keypoints": [0, 0, 0, 4, 5, 2]}]))
    assert [k.label for k in drawing.keypoints] == ["right"]


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        ({"segmentation": [[0, 0, 1, 1]]}, r"annotations\[0\] \('nucleus'\): segmentation\[0\]: a polygon of 2 points"),
        ({"segmentation": [[0, 0, 1, 1, 2]]}, "5 numbers; expected x, y pairs"),
        ({"segmentation": [[0, 0, 1, "1", 2, 2]]}, "expected a number"),
        ({"segmentation": {"size": [5, 8], "counts": [40]}}, "mask is 8 x 5, the image 8 x 6"),
        ({"segmentation": "x"}, "expected a list"),
        ({"area": 4}, "has no segmentation, keypoints or bbox"),
        ({"bbox": [0, 0, 2]}, "bbox has 3 numbers"),
        ({"image_id": 1}, "image_id 1 is not among the images"),
        ({"category_id": 1}, "category_id 1 is not among the categories"),
        ({"keypoints": [1, 2]}, "2 keypoint numbers; expected 3 for each of 2"),
        ({"keypoints": [1, 2, 5, 1, 2, 2]}, "keypoint 'left' is"),
    ],
)
def test_wrong_annotations_are_named(tmp_path: Path, annotation: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        list(read("coco", write(tmp_path / "c.json", [annotation])))


def test_ids_have_to_differ(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"categories\[1\]: id 3 is used twice"):
        list(read("coco", write(tmp_path / "c.json", [], categories=[{"id": 3, "name": "a"}, {"id": 3, "name": "b"}])))


def test_names_that_tools_change(tmp_path: Path) -> None:
    """Label Studio's own COCO export has the prefix of uploads and its category 0; Windows' slashes."""
    images = [{"id": 7, "file_name": "images\\0a1b2c3d-a.png", "height": 6, "width": 8}]
    [drawing] = read("coco", write(tmp_path / "c.json", [{"segmentation": [[2, 1, 7, 1, 7, 4]]}], images=images))
    assert drawing.names == ("0a1b2c3d-a", "a")


def test_boxes_alone_are_drawn_filled_and_said(tmp_path: Path) -> None:
    annotations = [{"bbox": [2, 1, 5, 3], "segmentation": []}, {"bbox": [0, 0, 1, 1]}]
    [drawing] = read("coco", write(tmp_path / "c.json", annotations))
    box, _ = (s.region.fill(6, 8) for s in drawing.shapes)
    assert box[1:4, 2:7].all()
    assert box.sum() == 15
    assert [n for n in drawing.notes if "2 boxes without an outline, drawn filled" in n] == drawing.notes


def test_a_file_a_split(tmp_path: Path) -> None:
    """As the data set itself and many tools lay them out; panoptic files are another format's."""
    (tmp_path / "annotations").mkdir()
    for i, split in enumerate(("train", "val")):
        images = [{"id": 7, "file_name": f"{i}.png", "height": 6, "width": 8}]
        write(tmp_path / "annotations" / f"instances_{split}.json", [], images=images)
    assert [d.names for d in read("coco", tmp_path)] == [("0",), ("1",)]


def test_many_masks_of_a_large_picture_are_small_in_memory(tmp_path: Path) -> None:
    code = {"size": [4000, 4000], "counts": [4000 * 10, 2, 4000 * 4000 - 40002]}
    images = [{"id": 7, "file_name": "a.png", "height": 4000, "width": 4000}]
    [drawing] = read("coco", write(tmp_path / "c.json", [{"segmentation": code}] * 3, images=images))
    for shape in drawing.shapes:
        assert shape.region.pixels.size == 2
        assert shape.region.fill(4000, 4000).sum() == 2


def test_outlines_and_key_points_of_one_image_in_two_files(tmp_path: Path) -> None:
    """As in instances_train.json and person_keypoints_train.json; outlines in both are two drawings of one image."""
    square = {"segmentation": [[2, 1, 7, 1, 7, 4, 2, 4]]}
    write(tmp_path / "instances_train.json", [square])
    write(tmp_path / "person_keypoints_train.json", [{"keypoints": [1.5, 2.5, 2, 4, 5, 1]}])
    [drawing] = read("coco", tmp_path)
    assert len(drawing.shapes) == 1
    assert [k.label for k in drawing.keypoints] == ["left", "right"]
    write(tmp_path / "person_keypoints_train.json", [square])
    assert len(read("coco", tmp_path)) == 2
