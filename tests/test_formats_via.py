"""VGG Image Annotator: projects and exports of versions 1 and 2, JSON and CSV, every shape, which attribute counts."""

import csv
import io
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

SQUARE = {"name": "polygon", "all_points_x": [2, 12, 12, 2], "all_points_y": [3, 3, 15, 15]}


def region(shape: dict[str, Any] = SQUARE, **attributes: Any) -> dict[str, Any]:
    return {"shape_attributes": shape, "region_attributes": attributes}


def images(*regions: dict[str, Any], numbered: bool = False) -> dict[str, Any]:
    listed: Any = {str(i): r for i, r in enumerate(regions)} if numbered else list(regions)
    return {"seed000001.png99": {"filename": "seed000001.png", "size": 99, "regions": listed, "file_attributes": {}}}


def write(folder: Path, data: Any) -> Path:
    (folder / "via.json").write_text(json.dumps(data))
    return folder


def write_csv(folder: Path, *regions: dict[str, Any], head: str = "filename") -> Path:
    out = io.StringIO()
    table = csv.writer(out)
    table.writerow(
        [
            head,
            "file_size",
            "file_attributes",
            "region_count",
            "region_id",
            "region_shape_attributes",
            "region_attributes",
        ]
    )
    for i, r in enumerate(regions):
        cells = [json.dumps(r[k]) for k in ("shape_attributes", "region_attributes")]
        table.writerow(["seed000001.png", 99, "{}", len(regions), i, *cells])
    (folder / "via.csv").write_text(out.getvalue())
    return folder


def test_versions_1_and_2_as_project_export_and_table(tmp_path: Path) -> None:
    entry = region(type="nucleus")
    sources = [
        lambda f: write(f, images(entry, numbered=True)),
        lambda f: write(f, images(entry)),
        lambda f: write(f, {"_via_settings": {}, "_via_img_metadata": images(entry), "_via_attributes": {}}),
        lambda f: write_csv(f, entry),
        lambda f: write_csv(f, entry, head="#filename"),
    ]
    for i, make in enumerate(sources):
        (tmp_path / str(i)).mkdir()
        result, report = import_labels(blank(), make(tmp_path / str(i)))
        assert report.format == "via"
        np.testing.assert_array_equal(result.samples[0].mask, boxes((1, 2, 3, 12, 15)))


def test_every_shape(tmp_path: Path) -> None:
    shapes = [
        {"name": "rect", "x": 2, "y": 3, "width": 10, "height": 12},
        {"name": "circle", "cx": 10, "cy": 9, "r": 4},
        {"name": "ellipse", "cx": 10, "cy": 9, "rx": 5, "ry": 2, "theta": math.pi / 2},
        {"name": "point", "cx": 3, "cy": 4},
    ]
    [drawing] = read("via", write(tmp_path, images(*(region(s, type="nucleus") for s in shapes))), blank())
    rect, circle, ellipse = (s.region.fill(H, W) for s in drawing.shapes)
    np.testing.assert_array_equal(rect, boxes((1, 2, 3, 12, 15)) == 1)
    y, x = np.mgrid[:H, :W] + 0.5
    np.testing.assert_array_equal(circle, (x - 10) ** 2 + (y - 9) ** 2 <= 16)
    np.testing.assert_array_equal(ellipse, ((x - 10) / 2) ** 2 + ((y - 9) / 5) ** 2 <= 1 + 1e-12)
    assert [(k.label, k.x, k.y) for k in drawing.keypoints] == [("nucleus", 3, 4)]


def test_which_attribute_is_the_label(tmp_path: Path) -> None:
    [drawing] = read(
        "via", write(tmp_path, images(region(stage="late", cell={"nucleus": True, "neighbour": False}))), blank()
    )
    assert drawing.shapes[0].label == "nucleus"
    assert "the attribute 'cell' is the label; 'stage' are left out" in drawing.notes[0]
    write(tmp_path, images(region(stage="late", cell="round")))
    with pytest.raises(InputError, match="regions have the attributes 'stage', 'cell'; which of them is the label"):
        read("via", tmp_path, blank())
    [drawing] = read("via", tmp_path, blank(), {"round": "nucleus"})
    assert drawing.shapes[0].label == "round"


def test_regions_without_attributes_are_called_region(tmp_path: Path) -> None:
    write(tmp_path, images(region()))
    with pytest.raises(InputError, match="no class for 'region'"):
        import_labels(blank(), tmp_path)
    result, report = import_labels(blank(), tmp_path, mapping={"region": "neighbour"})
    np.testing.assert_array_equal(result.samples[0].mask, boxes((2, 2, 3, 12, 15)))
    assert any("1 regions without a label, called 'region'" in n for n in report.notes)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ({"name": "polygon", "all_points_x": [1, 2], "all_points_y": [1]}, r"regions\[0\] \('nucleus'\): 2 x and 1 y"),
        ({"name": "polygon", "all_points_x": [1, 2], "all_points_y": [1, 2]}, "a polygon of 2 points"),
        ({"name": "circle", "cx": 1, "cy": 1}, '"r" is missing'),
        ({"name": "rect", "x": 0, "y": 0, "width": 1e9, "height": 1}, "width is 1e\\+09 pixels"),
        ({"name": "star"}, "shape 'star' is not known"),
        ({}, '"name" is missing'),
    ],
)
def test_wrong_regions_are_named(tmp_path: Path, shape: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read("via", write(tmp_path, images(region(shape, type="nucleus"))), blank())


def test_lines_stop_unless_they_are_ignored(tmp_path: Path) -> None:
    line = region({"name": "polyline", "all_points_x": [1, 5], "all_points_y": [1, 5]}, type="scale")
    write(tmp_path, images(line, region(type="nucleus")))
    with pytest.raises(InputError, match="a polyline has no area"):
        import_labels(blank(), tmp_path, mapping={"scale": "nucleus"})
    result, _ = import_labels(blank(), tmp_path, mapping={"scale": "ignore"})
    assert (result.samples[0].mask == 1).sum() == 120


def test_broken_tables_are_named(tmp_path: Path) -> None:
    path = write_csv(tmp_path, region()) / "via.csv"
    path.write_text(path.read_text().replace('{""name""', '{""name'))
    with pytest.raises(InputError, match=r"via.csv: line 2: the region's attributes are not JSON"):
        read("via", tmp_path, blank())
