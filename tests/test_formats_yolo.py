"""YOLO's text files: outlines, boxes, key points, where names come from, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
from format_examples import read
from formats_world import H, W, blank, boxes

from labelfactory.errors import InputError
from labelfactory.interpreters.formats import import_labels

SQUARE = f"0 {2 / W:.6f} {3 / H:.6f} {12 / W:.6f} {3 / H:.6f} {12 / W:.6f} {15 / H:.6f} {2 / W:.6f} {15 / H:.6f}"


def write(folder: Path, text: str, names: str | None = "names: [nucleus, neighbour]", extra: str = "") -> Path:
    (folder / "labels").mkdir(exist_ok=True)
    (folder / "labels" / "seed000001.txt").write_text(text)
    if names is not None:
        (folder / "data.yaml").write_text(f"path: ../x\ntrain: images\n{names}\n{extra}")
    return folder


@pytest.mark.parametrize(
    "names", ["names: [nucleus, neighbour]", "names:\n  0: nucleus\n  1: neighbour", "nc: 2\nnames: ['nucleus','b']"]
)
def test_outlines_with_names_from_data_yaml(tmp_path: Path, names: str) -> None:
    result, report = import_labels(blank(), write(tmp_path, SQUARE + "\n\n", names))
    np.testing.assert_array_equal(result.samples[0].mask, boxes((1, 2, 3, 12, 15)))
    assert report.format == "yolo"
    assert not report.notes


@pytest.mark.parametrize("file", ["classes.txt", "obj.names", "CLASSES.TXT"])
def test_names_from_lists(tmp_path: Path, file: str) -> None:
    write(tmp_path, SQUARE, names=None)
    (tmp_path / file).write_text("nucleus\nneighbour\n")
    [drawing] = read("yolo", tmp_path, blank())
    assert [s.label for s in drawing.shapes] == ["nucleus"]


def test_without_names_numbers_are_labels(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"line 1 \('0'\): no class for '0'; the set has"):
        import_labels(blank(), write(tmp_path, SQUARE, names=None))
    result, _ = import_labels(blank(), tmp_path, mapping={"0": "neighbour"})
    assert (result.samples[0].mask == 2).sum() == 120


def test_files_beside_the_pictures_and_lists_of_files(tmp_path: Path) -> None:
    """Older layouts have no folder "labels"; train.txt and README are no labels."""
    (tmp_path / "seed000001.txt").write_text(SQUARE)
    (tmp_path / "classes.txt").write_text("nucleus\n")
    (tmp_path / "train.txt").write_text("./seed000001.png\n")
    (tmp_path / "README.roboflow.txt").write_text("exported\n")
    result, report = import_labels(blank(), tmp_path)
    assert report.format == "yolo"
    assert (result.samples[0].mask == 1).sum() == 120


def test_an_image_without_objects_keeps_its_labels_unless_said(tmp_path: Path) -> None:
    write(tmp_path, "")
    result, report = import_labels(blank(), tmp_path)
    assert report.format == "yolo"
    assert (result.samples[0].mask == 255).all()
    result, _ = import_labels(blank(), tmp_path, empty="background")
    assert (result.samples[0].mask == 0).all()


def test_key_points(tmp_path: Path) -> None:
    line = "0 0.5 0.5 0.4 0.4 0.25 0.5 2 0.5 0.75 1 0 0 0"
    write(tmp_path, line, extra="kpt_shape: [3, 3]\nkpt_names:\n  0: [head, tail, tip]\n")
    [drawing] = read("yolo", tmp_path, blank())
    assert [(k.label, k.x, k.y, k.visible) for k in drawing.keypoints] == [
        ("head", W / 4, H / 2, True),
        ("tail", W / 2, H * 3 / 4, False),
    ]
    assert not drawing.shapes  # the box of key points is no outline
    write(tmp_path, "0 0.5 0.5 0.4 0.4 0.25 0.5 0 0", extra="kpt_shape: [2, 2]\n")
    [drawing] = read("yolo", tmp_path, blank(keypoints=("a", "b")))
    assert [k.label for k in drawing.keypoints] == ["a"]
    assert any("names no key points; they are called a, b" in n for n in drawing.notes)


@pytest.mark.parametrize(
    ("line", "extra", "message"),
    [
        ("0 0.1 0.2", "", "is not a class's number and coordinates"),
        ("x 0.1 0.2 0.3 0.4", "", "'x' is not a number"),
        ("0 0.1 0.2 0.3 0.4 0.5", "", "5 coordinates; expected a box"),
        ("0 10 20 30 40 50 60", "", "is not a class's number and coordinates from 0 to 1"),
        ("0 0.1 0.1 0.2 0.1 0.2 9", "", "coordinates beyond 0 to 1"),
        ("7 0.1 0.1 0.2 0.1 0.2 0.2", "", "class 7 is not among the 2 names"),
        ("-1 0.1 0.1 0.2 0.1 0.2 0.2", "", "is not a class's number"),
        ("0.5 0.1 0.1 0.2 0.1 0.2 0.2", "", "is not a class's number"),
        ("0 nan 0.1 0.2 0.1 0.2 0.2", "", "not a finite number"),
        ("0 0.5 0.5 0.4 0.4 0.1 0.1 2", "kpt_shape: [2, 3]", "3 key point numbers; expected 2 x 3"),
        ("0 0.5 0.5 0.4 0.4 0.1 0.1 7", "kpt_shape: [1, 3]", "key point '0' is"),
        ("0 0.5 0.5 0.4 0.4", "kpt_shape: [1]", "kpt_shape is .1.; expected"),
        ("0 0.5 0.5 0.4 0.4", "kpt_shape: [99999999, 3]", "expected .key points, 2 or 3"),
        ("0 0.5 0.5 0.4 0.4 0.1 0.1 2", "kpt_shape: [1, 3]\nkpt_names: {0: [a, b]}", "2 kpt_names; expected 1"),
    ],
)
def test_wrong_lines_are_named(tmp_path: Path, line: str, extra: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read("yolo", write(tmp_path, f"{SQUARE if not extra else ''}\n{line}", extra=extra), blank())
    assert "data.yaml" in str(caught.value) or "seed000001.txt: line 2" in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "names: [a",
        "names: !!python/object/apply:os.system [ls]",
        "names: 3",
        "[" * 5000,
        "names: {a: b}",
        "names: [[a]]",
        "a: &a [x, x]\nb: &b [*a, *a]\nnames: [*b, *b]",  # each alias doubles what it stands for
    ],
)
def test_hostile_yaml(tmp_path: Path, text: str) -> None:
    write(tmp_path, SQUARE)
    (tmp_path / "data.yaml").write_text(text)
    with pytest.raises(InputError, match=r"data.yaml"):
        read("yolo", tmp_path, blank())
