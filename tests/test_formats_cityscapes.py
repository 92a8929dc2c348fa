"""Cityscapes: ids of 8 and 16 bits, trainIds, polygons as its own tools draw them, names with and without ending."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from format_examples import pixels, read
from PIL import Image

from labelfactory.errors import InputError

NAME = "aachen_000000_000019"


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("labelIds", np.array([[7, 26, 0]], np.uint8)),
        ("labelTrainIds", np.array([[0, 13, 255]], np.uint8)),
        ("instanceIds", np.array([[7, 26003, 0]], np.uint16)),
        ("instanceTrainIds", np.array([[0, 13003, 255]], np.uint16)),
    ],
)
def test_ids(tmp_path: Path, kind: str, values: np.ndarray) -> None:
    Image.fromarray(values).save(tmp_path / f"{NAME}_gtFine_{kind}.png")
    [drawing] = read("cityscapes", tmp_path)
    assert pixels(drawing, (1, 3)) == {"road": [[0, 0]], "car": [[0, 1]], "__ignore__": [[0, 2]]}
    assert drawing.names[0] == f"{NAME}_leftImg8bit"
    assert NAME in drawing.names


def test_ids_without_a_name_keep_their_number(tmp_path: Path) -> None:
    Image.fromarray(np.array([[7, 99]], np.uint8)).save(tmp_path / f"{NAME}_gtCoarse_labelIds.png")
    [drawing] = read("cityscapes", tmp_path)
    assert pixels(drawing, (1, 2)) == {"road": [[0, 0]], "99": [[0, 1]]}


def polygons(folder: Path, *objects: dict[str, Any], **changes: Any) -> Path:
    document = {"imgHeight": 4, "imgWidth": 5, "objects": list(objects)} | changes
    (folder / f"{NAME}_gtFine_polygons.json").write_text(json.dumps(document))
    return folder


SQUARE = [[1, 1], [3, 1], [3, 2], [1, 2]]


def test_polygons(tmp_path: Path) -> None:
    """Pixels on the outline count; a group is of its class; what is deleted, or has no id, is not drawn."""
    objects = [
        {"label": "cargroup", "polygon": SQUARE},
        {"label": "license plate", "polygon": SQUARE},
        {"label": "sky", "polygon": SQUARE, "deleted": 1},
    ]
    [drawing] = read("cityscapes", polygons(tmp_path, *objects))
    found = pixels(drawing, (4, 5))
    assert found["car"] == [[y, x] for y in (1, 2) for x in (1, 2, 3)]
    assert len(found["__ignore__"]) == 20
    assert set(found) == {"car", "__ignore__"}
    assert len(drawing.notes) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"imgHeight": None}, '"imgHeight" is missing'),
        ({"imgHeight": -1}, "an image of 5 x -1 is not possible"),
        ({"imgHeight": 10**6, "imgWidth": 10**6}, "is not possible"),
        ({"objects": [{"label": "car", "polygon": [[1, 1], [2, 2]]}]}, "a polygon of 2 points"),
        ({"objects": [{"label": "car", "polygon": [[1], [2], [3]]}]}, "is not a list of .x, y."),
        ({"objects": [{"polygon": SQUARE}]}, '"label" is missing'),
    ],
)
def test_wrong_polygons_are_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read("cityscapes", polygons(tmp_path, **changes))


def test_wrong_ids_and_lists(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((1, 2, 3), np.uint8)).save(tmp_path / f"{NAME}_gtFine_labelIds.png")
    with pytest.raises(InputError, match="mode RGB; expected 8- or 16-bit numbers"):
        read("cityscapes", tmp_path)
    (tmp_path / "label_colors.txt").write_text("0 0 0\n")
    with pytest.raises(InputError, match=r"label_colors.txt: line 1: '0 0 0' is not red green blue name"):
        read("cityscapes", tmp_path)
