"""Roboflow's exports: masks with a table of classes, and COCO with its category 0 that nothing uses."""

import json
from pathlib import Path

import numpy as np
import pytest
from format_examples import pixels, read
from formats_world import H, W, blank, boxes
from PIL import Image

from labelfactory.errors import InputError
from labelfactory.interpreters.formats import import_labels

HASH = "0123456789abcdef0123456789abcdef"


def write(folder: Path, split: str, name: str, mask: np.ndarray, table: str) -> None:
    (folder / split).mkdir(exist_ok=True)
    (folder / split / "_classes.csv").write_text(table)
    Image.fromarray(mask).save(folder / split / f"{name}_jpg.rf.{HASH}_mask.png")
    Image.fromarray(np.zeros((H, W, 3), np.uint8)).save(folder / split / f"{name}_jpg.rf.{HASH}.jpg")


def test_every_split_has_a_table_of_its_own(tmp_path: Path) -> None:
    write(tmp_path, "train", "seed000001", boxes((1, 2, 3, 12, 15)), "Pixel Value, Class\n0, background\n1, nucleus\n")
    write(tmp_path, "valid", "seed000002", boxes((1, 2, 3, 12, 15)), "Pixel Value,Class\n0,background\n1,neighbour\n\n")
    result, report = import_labels(blank(), tmp_path)
    assert report.format == "roboflow-masks"
    np.testing.assert_array_equal(result.samples[0].mask, boxes((1, 2, 3, 12, 15)))
    np.testing.assert_array_equal(result.samples[1].mask, boxes((2, 2, 3, 12, 15)))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("Pixel Value, Class\n0\n", "line 2: '0' is not a pixel value and a class"),
        ("Pixel Value, Class\nx, a\n", "'x' is not a number"),
        ("Pixel Value, Class\n0, a\n0, b\n", "line 3: value 0 belongs to 'a' already"),
        ("Pixel Value, Class\n0, " + "a" * 200_000, "is not a readable table"),
    ],
)
def test_wrong_tables(tmp_path: Path, table: str, message: str) -> None:
    write(tmp_path, "train", "a", np.zeros((2, 2), np.uint8), table)
    with pytest.raises(InputError, match=message):
        read("roboflow-masks", tmp_path)


def test_values_without_a_class_and_other_pictures(tmp_path: Path) -> None:
    table = "Pixel Value, Class\n0, background\n"
    write(tmp_path, "train", "a", np.array([[0, 9]], np.uint8), table)
    [drawing] = read("roboflow-masks", tmp_path)
    assert pixels(drawing, (1, 2)) == {"background": [[0, 0]], "9": [[0, 1]]}
    write(tmp_path, "train", "a", np.zeros((2, 2, 3), np.uint8), table)
    with pytest.raises(InputError, match="mode RGB; expected grey"):
        read("roboflow-masks", tmp_path)
    for path in (tmp_path / "train").glob("*_mask.png"):
        path.unlink()
    with pytest.raises(InputError, match=r"has no pictures called \.\.\._mask\.png"):
        read("roboflow-masks", tmp_path)


def test_coco_with_a_super_category_0(tmp_path: Path) -> None:
    """A file a split; the set's own name is category 0, which no annotation has."""
    categories = [
        {"id": 0, "name": "cells", "supercategory": "none"},
        {"id": 1, "name": "nucleus", "supercategory": "cells"},
    ]
    for split, name in (("train", "seed000001"), ("valid", "seed000002")):
        (tmp_path / split).mkdir()
        image = {"id": 0, "file_name": f"{name}_png.rf.{HASH}.jpg", "height": H, "width": W}
        square = {"id": 0, "image_id": 0, "category_id": 1, "segmentation": [[2, 3, 12, 3, 12, 15, 2, 15]]}
        data = {"images": [image], "categories": categories, "annotations": [square]}
        (tmp_path / split / "_annotations.coco.json").write_text(json.dumps(data))
    result, report = import_labels(blank(), tmp_path)
    assert report.mapping == {"nucleus": "nucleus"}
    for sample in result:
        np.testing.assert_array_equal(sample.mask, boxes((1, 2, 3, 12, 15)))
