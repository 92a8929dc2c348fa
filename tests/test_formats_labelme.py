"""labelme files: those that it writes are read, ours come back, broken ones are refused by shape."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from nuclei_world import NUCLEI_CLASSES

from labelfactory.errors import InputError
from labelfactory.interpreters.formats import labelme
from labelfactory.interpreters.formats.labelme_files import document, polygons


def test_a_file_of_labelmes_own_writer(label_files: Path) -> None:
    drawing = labelme.read_file(label_files / "labelme.json")
    assert drawing.names == ("labelme", "seed000001")
    assert drawing.size == (20, 24)
    square, circle, bitmap, ignored = drawing.shapes
    assert [s.label for s in drawing.shapes] == ["neighbour", "nucleus", "neighbour", "__ignore__"]
    assert [s.group for s in drawing.shapes] == [None, 1, 2, None]
    filled = square.region.fill(20, 24)
    assert filled[3:13, 2:12].all()
    assert filled.sum() == 100
    y, x = np.mgrid[:20, :24] + 0.5
    np.testing.assert_array_equal(circle.region.fill(20, 24), (x - 10) ** 2 + (y - 10) ** 2 <= 4.5**2)
    y, x = np.mgrid[:5, :6]
    np.testing.assert_array_equal(bitmap.region.fill(20, 24)[2:7, 16:22], (x + y) % 3 > 0)
    assert ignored.region.fill(20, 24).sum() == 5 * 4
    [point] = drawing.keypoints
    assert (point.label, point.x, point.y) == ("centre", 10.25, 10.5)


@given(arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.sampled_from([0, 1, 2, 255])))
def test_our_documents_come_back_to_the_pixel(tmp_path_factory: pytest.TempPathFactory, mask: np.ndarray) -> None:
    path = tmp_path_factory.getbasetemp() / "ours.json"
    path.write_text(json.dumps(document("../images/ours.png", mask.shape, polygons(mask, NUCLEI_CLASSES))))
    drawing = labelme.read_file(path)
    values = {"background": 0, "nucleus": 1, "neighbour": 2, "__ignore__": 255}
    canvas = np.zeros_like(mask)
    for shape in drawing.shapes:
        canvas[shape.region.fill(*mask.shape)] = values[shape.label]
    np.testing.assert_array_equal(canvas, mask)
    assert drawing.names == ("ours", "ours")


TRIANGLE = [[0, 0], [4, 0], [0, 4]]


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ({"label": "a", "points": TRIANGLE[:2]}, r"shapes\[0\] \('a'\): a polygon of 2 points"),
        ({"points": TRIANGLE}, r'shapes\[0\]: "label" is missing'),
        ({"label": "a", "points": [[0, 0], [1], [2, 2]]}, r"points\[1\]: \[1\] is not \[x, y\]"),
        ({"label": "a", "points": [[0, 0], [1, None], [2, 2]]}, "expected a number, found None"),
        ({"label": "a", "points": TRIANGLE, "shape_type": "circle"}, "a circle of 3 points; expected 2"),
        ({"label": "a", "points": TRIANGLE[:2], "shape_type": "mask", "mask": "AAAA"}, "not a PNG in base64"),
        ({"label": "a", "points": TRIANGLE, "group_id": "x"}, '"group_id": expected an integer'),
        ("circle", r"shapes\[0\]: expected an object"),
    ],
)
def test_wrong_shapes_are_named(tmp_path: Path, shape: Any, message: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"shapes": [shape], "imageHeight": 8, "imageWidth": 8, "imagePath": "a.png"}))
    with pytest.raises(InputError, match=message):
        labelme.read_file(path)


def test_a_mask_that_does_not_fit_its_corners(label_files: Path, tmp_path: Path) -> None:
    data = json.loads((label_files / "labelme.json").read_text())
    data["shapes"][2]["points"][1] = [20.0, 6.0]
    (tmp_path / "a.json").write_text(json.dumps(data))
    with pytest.raises(InputError, match="mask is 6 x 5, its corners span 5 x 5"):
        labelme.read_file(tmp_path / "a.json")
