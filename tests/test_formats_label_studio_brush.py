"""Label Studio's brush masks: which image, which annotation, which label."""

import json
from pathlib import Path

import numpy as np
import pytest
from format_examples import read
from formats_world import H, W, blank, boxes
from PIL import Image

from labelfactory.errors import InputError
from labelfactory.interpreters.formats import import_labels

SQUARE = boxes((255, 2, 3, 12, 15))


def save(folder: Path, name: str, pixels: np.ndarray = SQUARE) -> None:
    Image.fromarray(pixels).save(folder / f"{name}.png")


def test_one_task_is_the_only_image(tmp_path: Path) -> None:
    save(tmp_path, "task-7-annotation-9-by-1-brush-nucleus-0")
    np.save(tmp_path / "task-7-annotation-9-by-1-brush-neighbour-0.npy", boxes((255, 14, 3, 18, 5)))
    result, report = import_labels(blank("a"), tmp_path)
    assert report.format == "label-studio-brush"
    np.testing.assert_array_equal(result.samples[0].mask, boxes((1, 2, 3, 12, 15), (2, 14, 3, 18, 5)))
    assert any("no JSON export says its image, taken for the only one" in n for n in report.notes)


def test_the_latest_annotation_counts(tmp_path: Path) -> None:
    save(tmp_path, "task-7-annotation-9-by-1-brush-nucleus-0", boxes((255, 0, 0, 3, 3)))
    save(tmp_path, "task-7-annotation-12-by-annaexample.org-brush-nucleus-0")
    [drawing] = read("label-studio-brush", tmp_path, blank("a"))
    [shape] = drawing.shapes
    np.testing.assert_array_equal(shape.region.fill(H, W), SQUARE > 0)
    assert any("annotation 9: there is a later one" in n for n in drawing.notes)


@pytest.mark.parametrize(
    ("tag", "label"), [("brush-nucleus", "nucleus"), ("my-brush-Nucleus", "nucleus"), ("brush-a-b", "a-b")]
)
def test_hyphens_in_tags_and_labels(tmp_path: Path, tag: str, label: str) -> None:
    save(tmp_path, f"task-7-annotation-9-by-1-{tag}-0")
    [drawing] = read("label-studio-brush", tmp_path, blank("a"))
    assert drawing.shapes[0].label == label


def test_masks_that_do_not_fit(tmp_path: Path) -> None:
    save(tmp_path, "task-7-annotation-9-by-1-brush-nucleus-0")
    save(tmp_path, "task-7-annotation-9-by-1-brush-nucleus-1", np.zeros((2, 2), np.uint8))
    with pytest.raises(InputError, match="another size than the masks of task 7 before"):
        read("label-studio-brush", tmp_path, blank("a"))
    save(tmp_path, "task-7-annotation-9-by-1-brush-nucleus-1", np.zeros((H, W, 3), np.uint8))
    with pytest.raises(InputError, match="mode RGB; expected a grey one"):
        read("label-studio-brush", tmp_path, blank("a"))
    for broken in (np.zeros((H, W, 4), np.uint8), np.zeros((H, W)), np.zeros((0, 4), np.uint8)):
        np.save(tmp_path / "task-7-annotation-9-by-1-brush-a-0.npy", broken)
        with pytest.raises(InputError, match=r"brush-a-0.npy: expected one array"):
            read("label-studio-brush", tmp_path, blank("a"))


def test_tasks_without_an_image(tmp_path: Path) -> None:
    save(tmp_path, "task-7-annotation-9-by-1-brush-nucleus-0")
    (tmp_path / "export.json").write_text(json.dumps([{"id": 7, "data": {"text": "none"}}]))
    with pytest.raises(InputError, match=r"export.json: task 7: \"data\" names no image"):
        import_labels(blank(), tmp_path)
