"""Label Studio: a real export is read, our tasks hold masks that come back, broken exports are refused."""

import base64
import io
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from format_examples import read
from formats_world import blank
from nuclei_world import NUCLEI_CLASSES
from PIL import Image

from labelfactory.errors import InputError
from labelfactory.interpreters.classes import LabelClass
from labelfactory.interpreters.formats import label_studio_tasks

BASE = {"original_width": 10, "original_height": 8, "image_rotation": 0, "from_name": "x", "to_name": "image"}


def polygon(**changes: Any) -> dict[str, Any]:
    value = {"points": [[0, 0], [50, 0], [50, 50]], "polygonlabels": ["a"]}
    return BASE | {"type": "polygonlabels", "value": value} | changes


def export(path: Path, results: list[Any], **task: Any) -> Path:
    path.write_text(
        json.dumps([{"data": {"image": "/data/upload/1/0123abcd-s1.png"}, "annotations": [{"result": results}]} | task])
    )
    return path


def test_an_export_of_a_real_server(label_files: Path) -> None:
    first, second = read("label-studio", label_files / "label_studio.json")
    assert "seed000001" in first.names
    assert first.size == second.size == (20, 24)
    assert [s.label for s in first.shapes] == ["nucleus"]
    [point] = first.keypoints
    assert (point.x, point.y) == (pytest.approx(10, abs=0.01), pytest.approx(9))
    assert [s.label for s in second.shapes] == ["nucleus", "neighbour", "neighbour"]
    square, ellipse, rectangle = (s.region.fill(20, 24) for s in second.shapes)
    assert square[4:14, 6:18].all()
    assert square.sum() == 120
    y, x = np.mgrid[:20, :24] + 0.5
    np.testing.assert_array_equal(ellipse, ((x - 12) / 3) ** 2 + ((y - 9) / 2) ** 2 <= 1)
    assert rectangle[16:, :12].all()
    assert rectangle.sum() == 48


def test_turned_rectangle(tmp_path: Path) -> None:
    value = {"x": 50, "y": 0, "width": 40, "height": 50, "rotation": 90, "rectanglelabels": ["a"]}
    [drawing] = read("label-studio", export(tmp_path / "e.json", [BASE | {"type": "rectanglelabels", "value": value}]))
    filled = drawing.shapes[0].region.fill(8, 10)
    assert filled[0:4, 1:5].all()
    assert filled.sum() == 16


def test_names_come_from_the_upload_the_address_or_our_own_entry(tmp_path: Path) -> None:
    def names(**task: Any) -> tuple[str, ...]:
        [drawing] = read("label-studio", export(tmp_path / "e.json", [], **task))
        return drawing.names

    assert names() == ("0123abcd-s1", "s1")
    assert names(data={"image": "s3://bucket/folder/s%201.png?x=1"}) == ("s 1",)
    assert names(data={"image": "/data/local-files/?d=set/images/s1.png"}) == ("s1",)
    assert names(data={"image": "data:image/png;base64,AAAA", "sample": "s1"}) == ("s1",)


def test_the_latest_annotation_counts(tmp_path: Path) -> None:
    annotations = [
        {"result": [polygon()], "updated_at": "2026-01-02T00:00:00Z"},
        {"result": [], "updated_at": "2026-01-01T00:00:00Z"},
        {"result": [], "updated_at": "2026-01-03T00:00:00Z", "was_cancelled": True},
    ]
    [drawing] = read("label-studio", export(tmp_path / "e.json", [], annotations=annotations))
    assert len(drawing.shapes) == 1
    assert len(drawing.notes) == 2


def test_results_without_a_class_are_left_out_with_a_note(tmp_path: Path) -> None:
    results = [BASE | {"type": "choices", "value": {"choices": ["good"]}}, polygon()]
    [drawing] = read("label-studio", export(tmp_path / "e.json", results))
    assert len(drawing.shapes) == 1
    assert "1 of type 'choices' without a label" in drawing.notes[0]


def test_our_tasks_come_back_to_the_pixel(tmp_path: Path) -> None:
    mask = np.random.default_rng(0).integers(0, 3, (8, 10), dtype=np.uint8)
    task = label_studio_tasks.task(
        "s1", "data:image/png;base64,AAAA", label_studio_tasks.brushes("s1", mask, NUCLEI_CLASSES), "v1", 0.5
    )
    accepted = {"data": task["data"], "annotations": [{"result": task["predictions"][0]["result"]}]}
    (tmp_path / "e.json").write_text(json.dumps([accepted]))
    [drawing] = read("label-studio", tmp_path / "e.json")
    canvas = np.zeros_like(mask)
    for shape in drawing.shapes:
        canvas[shape.region.fill(8, 10)] = ["background", "nucleus", "neighbour"].index(shape.label)
    np.testing.assert_array_equal(canvas, mask)
    assert "predictions" not in label_studio_tasks.task("s1", "x.png", [])


def test_labeling_config_is_xml_whatever_the_class_is_called() -> None:
    root = ElementTree.fromstring(label_studio_tasks.labeling_config((LabelClass('a "b" & <c>', (1, 2, 255)),)))
    offered = [{"value": 'a "b" & <c>', "background": "#0102ff"}, {"value": "__ignore__", "background": "#808080"}]
    assert [e.attrib for e in root.iter("Label")] == offered * 2


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (polygon(value={"points": [[0, 0]], "polygonlabels": ["a"]}), r"result\[0\] \('a'\): a polygon of 1 points"),
        (polygon(value={"points": [[0]], "polygonlabels": ["a"]}), r"not all \[x, y\]"),
        (polygon(value={"points": [], "polygonlabels": ["a", "b"]}), "2 labels on one shape"),
        (polygon(image_rotation=90), "turned while labelling"),
        (polygon(original_width=10.5), "is not whole pixels"),
        (polygon(original_width=0), "image size 0 x 8 is not possible"),
        (BASE | {"type": "brushlabels", "value": {"rle": [1, 2], "brushlabels": ["a"]}}, "rle ends too early"),
        (BASE | {"type": "brushlabels", "value": {"rle": [0, 0, 0, 9], "brushlabels": ["a"]}}, "rle holds 9 values"),
        (
            BASE | {"type": "videolabels", "value": {"x": 0, "y": 0, "videolabels": ["a"]}},
            "'videolabels' is not supported",
        ),
        (
            BASE | {"type": "keypointlabels", "value": {"x": 1e200, "y": 0, "keypointlabels": ["a"]}},
            "percent of the image",
        ),
    ],
)
def test_wrong_results_are_named(tmp_path: Path, result: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        list(read("label-studio", export(tmp_path / "e.json", [result])))


def test_tasks_without_annotations_are_refused_with_advice(tmp_path: Path) -> None:
    (tmp_path / "e.json").write_text(json.dumps([{"data": {"image": "a.png"}, "polygon": []}]))
    with pytest.raises(InputError, match=r"no \"annotations\"; export the project as JSON or JSON-MIN"):
        list(read("label-studio", tmp_path / "e.json"))


def test_relations_draw_nothing(tmp_path: Path) -> None:
    shape = polygon(id="p1")
    relation = {"from_id": "p1", "to_id": "p1", "type": "relation", "direction": "right"}
    [drawing] = read("label-studio", export(tmp_path / "e.json", [shape, relation]))
    assert [s.label for s in drawing.shapes] == ["a"]
    assert "1 of type 'relation' without a label, left out" in drawing.notes[0]


def test_without_a_size_it_is_the_samples(tmp_path: Path) -> None:
    """Percent of the picture; a note says so, unless another region has the size."""
    labels = blank()
    point = {"type": "keypointlabels", "value": {"x": 50, "y": 25, "keypointlabels": ["tip"]}}
    bare = {"type": "polygonlabels", "value": polygon()["value"]}
    [drawing] = read("label-studio", export(tmp_path / "e.json", [bare, point]), labels)
    assert drawing.size is None
    assert (drawing.keypoints[0].x, drawing.keypoints[0].y) == (12, 5)
    assert drawing.shapes[0].region.fill(20, 24)[:10, :12].any()
    assert "does not say the image's size, taken from the sample" in drawing.notes[0]
    [drawing] = read("label-studio", export(tmp_path / "e.json", [polygon(), point]), labels)
    assert drawing.size == (8, 10)
    assert (drawing.keypoints[0].x, drawing.keypoints[0].y) == (5, 2)
    assert not drawing.notes


def test_labels_apart_from_their_geometry(tmp_path: Path) -> None:
    """With <Labels> and a bare <Polygon> a region is two results of one id."""
    values: list[dict[str, Any]] = [
        {"points": [[0, 0], [50, 0], [50, 50]]},
        {"x": 0, "y": 0, "width": 50, "height": 50, "rotation": 0},
        {"x": 50, "y": 50, "radiusX": 10, "radiusY": 10},
        {"x": 50, "y": 50},
    ]
    results = []
    for i, value in enumerate(values):
        results.append(BASE | {"id": str(i), "type": "polygon", "value": value})
        results.append(BASE | {"id": str(i), "type": "labels", "value": value | {"labels": ["a"]}})
    [drawing] = read("label-studio", export(tmp_path / "e.json", results))
    assert [type(s.region).__name__ for s in drawing.shapes] == ["Polygons", "Polygons", "Ellipse"]
    assert len(drawing.keypoints) == 1
    assert not drawing.notes


def test_bitmasks(tmp_path: Path) -> None:
    pixels = np.zeros((8, 10, 4), np.uint8)
    pixels[2:5, 3:9] = 255
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    address = "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()

    def result(address: str) -> dict[str, Any]:
        return BASE | {"type": "bitmasklabels", "value": {"imageDataURL": address, "bitmasklabels": ["a"]}}

    [drawing] = read("label-studio", export(tmp_path / "e.json", [result(address)]))
    np.testing.assert_array_equal(drawing.shapes[0].region.fill(8, 10), pixels[..., 3] > 0)
    for broken in ("x", address[:60], "data:text/plain;base64,AAAA", "data:image/png;base64,AAAA"):
        with pytest.raises(InputError, match=r"not a picture in base64|cannot be read as a picture"):
            read("label-studio", export(tmp_path / "e.json", [result(broken)]))


def test_json_min_has_an_entry_an_annotation(tmp_path: Path) -> None:
    """The latest counts; choices are texts beside the regions."""
    value = polygon()["value"] | {"original_width": 10, "original_height": 8}
    entries = [
        {"image": "/data/1/0123abcd-s1.png", "id": 1, "annotation_id": 5, "updated_at": "2026-01-02", "p": [value]},
        {"image": "/data/1/0123abcd-s1.png", "id": 1, "annotation_id": 4, "updated_at": "2026-01-01", "p": []},
        {"image": "/data/upload/1/0123abcd-s2.png", "id": 2, "annotation_id": None, "quality": "good", "tags": ["x"]},
    ]
    (tmp_path / "e.json").write_text(json.dumps(entries))
    first, second = read("label-studio", tmp_path / "e.json")
    assert first.names == ("0123abcd-s1", "s1")
    assert [s.label for s in first.shapes] == ["a"]
    assert "there is a later annotation of the same image" in first.notes[0]
    assert (second.shapes, second.said) == ([], "unopened")
    (tmp_path / "e.json").write_text(json.dumps([{"id": 1, "p": [value]}]))
    with pytest.raises(InputError, match=r"task\[0\]: it names no image"):
        read("label-studio", tmp_path / "e.json")


def test_tasks_of_early_versions_have_completions(tmp_path: Path) -> None:
    task = {"data": {"image": "s1.png"}, "completions": [{"result": [polygon()], "was_cancelled": False}]}
    (tmp_path / "e.json").write_text(json.dumps([task]))
    [drawing] = read("label-studio", tmp_path / "e.json")
    assert len(drawing.shapes) == 1
