"""COCO panoptic: where the pictures lie, what their colours mean, and files that do not fit together."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from format_examples import pixels, read
from formats_world import blank
from PIL import Image

from labelfactory.errors import InputError
from labelfactory.interpreters.formats import import_labels

NUMBERS = np.array([[0, 1, 70000]])
INFO = [{"id": 1, "category_id": 7}, {"id": 70000, "category_id": 9}]


def write(folder: Path, place: str = "panoptic_val/a.png", info: Any = INFO, **changes: Any) -> Path:
    """A JSON file and its picture at ``place``."""
    annotation = {"image_id": 3, "file_name": "a.png", "segments_info": info}
    data = {
        "images": [{"id": 3, "file_name": "a.jpg"}],
        "categories": [{"id": 7, "name": "nucleus"}, {"id": 9, "name": "neighbour"}],
        "annotations": [annotation | changes],
    }
    (folder / "panoptic_val.json").write_text(json.dumps(data))
    path = folder / place
    path.parent.mkdir(parents=True, exist_ok=True)
    rgb = np.stack([NUMBERS & 255, NUMBERS >> 8 & 255, NUMBERS >> 16], -1).astype(np.uint8)
    Image.fromarray(rgb).save(path)
    return folder


@pytest.mark.parametrize("place", ["panoptic_val/a.png", "panoptic/a.png", "masks/a.png", "a.png"])
def test_colours_number_segments(tmp_path: Path, place: str) -> None:
    write(tmp_path, place)
    if place != "a.png":  # the photographs are often called the same
        (tmp_path / "images").mkdir()
        Image.fromarray(np.zeros((1, 3, 3), np.uint8)).save(tmp_path / "images" / "a.png")
    for source in (tmp_path, tmp_path / "panoptic_val.json"):
        [drawing] = read("coco-panoptic", source)
        assert pixels(drawing, (1, 3)) == {"__ignore__": [[0, 0]], "nucleus": [[0, 1]], "neighbour": [[0, 2]]}
        assert drawing.names == ("a",)


def test_instances_and_panoptic_of_the_same_are_two_readings(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "instances_val.json").write_text(json.dumps({"images": [], "categories": [], "annotations": []}))
    with pytest.raises(InputError, match=r"may be coco \(instances_val.json .*, and coco-panoptic \(panoptic_val.json"):
        import_labels(blank("a"), tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"info": INFO[:1]}, "has the colour of segment 70000, which .* does not list"),
        ({"info": [{"id": 1, "category_id": 8}]}, "category_id 8 is not among the categories"),
        ({"info": [*INFO, {"id": 1, "category_id": 9}]}, "id 1 is used twice"),
        ({"image_id": 4}, "image_id 4 is not among the images"),
        ({"file_name": "b.png"}, "0 pictures are called 'b.png'; expected one in panoptic_val/"),
        ({"file_name": "../../../etc/passwd"}, "0 pictures are called 'passwd'"),
        ({"info": [{"id": "1", "category_id": 7}]}, "expected an integer"),
    ],
)
def test_wrong_files_are_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read("coco-panoptic", write(tmp_path, **changes))


def test_segments_without_pixels_are_said(tmp_path: Path) -> None:
    [drawing] = read("coco-panoptic", write(tmp_path, info=[*INFO, {"id": 5, "category_id": 7}]))
    assert any("1 segments that are listed have no pixel" in n for n in drawing.notes)


def test_pictures_of_other_kinds(tmp_path: Path) -> None:
    write(tmp_path)
    Image.fromarray(NUMBERS.astype(np.uint8)).save(tmp_path / "panoptic_val" / "a.png")
    with pytest.raises(InputError, match="mode L; expected RGB, whose colours number the segments"):
        read("coco-panoptic", tmp_path)
