"""Pascal VOC: masks in its own colours or with a list of names, boxes and outlines in XML."""

from pathlib import Path

import numpy as np
import pytest
from format_examples import pixels, read
from formats_world import H, W, blank, boxes
from PIL import Image

from labelfactory.errors import InputError
from labelfactory.interpreters.formats import import_labels
from labelfactory.interpreters.formats.voc import VOC_NAMES, voc_colors

MASK = np.array([[0, 1, 15], [255, 1, 0]], dtype=np.uint8)
EXPECTED = {
    "background": [[0, 0], [1, 2]],
    "aeroplane": [[0, 1], [1, 1]],
    "person": [[0, 2]],
    "__ignore__": [[1, 0]],
}


def test_vocs_colours() -> None:
    colors = voc_colors(256)
    assert len(set(colors)) == 256
    known = {0: (0, 0, 0), 1: (128, 0, 0), 2: (0, 128, 0), 15: (192, 128, 128), 20: (0, 64, 128), 255: (224, 224, 192)}
    assert {i: colors[i] for i in known} == known
    assert len(VOC_NAMES) == 21


def save(folder: Path, image: Image.Image) -> None:
    (folder / "SegmentationClass").mkdir(exist_ok=True)
    image.save(folder / "SegmentationClass" / "seed000001.png")


def test_masks_in_vocs_colours(tmp_path: Path) -> None:
    """Indexed as the challenge has them, re-encoded in another order, and as colours: all the same."""
    colors = np.array(voc_colors(256), np.uint8)
    indexed = Image.fromarray(MASK)
    indexed.putpalette(colors.tobytes())
    other = Image.fromarray(np.array([[3, 0, 1], [2, 0, 3]], np.uint8))
    other.putpalette([v for i in (1, 15, 255, 0) for v in colors[i].tolist()])
    for image in (indexed, other, Image.fromarray(colors[MASK]), Image.fromarray(MASK)):
        save(tmp_path, image)
        [drawing] = read("voc", tmp_path)
        assert pixels(drawing, (2, 3)) == EXPECTED


def test_labelmes_list_of_names(tmp_path: Path) -> None:
    (tmp_path / "class_names.txt").write_text("__ignore__\n_background_\nnucleus\n")
    save(tmp_path, Image.fromarray(np.where(MASK == 15, 0, MASK)))
    [drawing] = read("voc", tmp_path)
    assert pixels(drawing, (2, 3)) == {
        "_background_": [[0, 0], [0, 2], [1, 2]],
        "nucleus": [[0, 1], [1, 1]],
        "__ignore__": [[1, 0]],
    }
    save(tmp_path, Image.fromarray(np.zeros((2, 3, 3), np.uint8)))
    with pytest.raises(InputError, match=r"mode RGB; expected indexed or grey ones with class_names\.txt"):
        read("voc", tmp_path)


def write(folder: Path, objects: str, database: str = "Unknown", size: str = "") -> Path:
    (folder / "Annotations").mkdir(exist_ok=True)
    size = size or f"<size><width>{W}</width><height>{H}</height><depth>3</depth></size>"
    source = f"<source><database>{database}</database></source>"
    text = f"<annotation><filename>seed000001.png</filename>{source}{size}{objects}</annotation>"
    (folder / "Annotations" / "x.xml").write_text(text)
    return folder


def box(label: str, *edges: float) -> str:
    inside = "".join(f"<{k}>{v}</{k}>" for k, v in zip(("xmin", "ymin", "xmax", "ymax"), edges, strict=True))
    return f"<object><name>{label}</name><bndbox>{inside}</bndbox></object>"


def test_boxes_count_from_0_but_in_vocs_own_files_from_1(tmp_path: Path) -> None:
    result, report = import_labels(blank(), write(tmp_path, box("nucleus", 2, 3, 12, 15)))
    np.testing.assert_array_equal(result.samples[0].mask, boxes((1, 2, 3, 12, 15)))
    assert any("1 boxes without an outline, drawn filled (edges counted from 0)" in n for n in report.notes)
    write(tmp_path, box("nucleus", 3, 4, 12, 15), database="The VOC2007 Database")
    result, report = import_labels(blank(), tmp_path)
    np.testing.assert_array_equal(result.samples[0].mask, boxes((1, 2, 3, 12, 15)))
    assert any("(pixels counted from 1, as VOC's)" in n for n in report.notes)


def test_roboflows_outlines(tmp_path: Path) -> None:
    corners = [(2, 3), (12, 3), (12, 15), (2, 15)]
    polygon = "".join(f"<x{i}>{x}</x{i}><y{i}>{y}</y{i}>" for i, (x, y) in enumerate(corners, 1))
    entry = box("nucleus", 0, 0, W, H).replace("</object>", f"<polygon>{polygon}</polygon></object>")
    result, report = import_labels(blank(), write(tmp_path, entry))
    np.testing.assert_array_equal(result.samples[0].mask, boxes((1, 2, 3, 12, 15)))
    assert not report.notes


def test_masks_count_more_than_boxes(tmp_path: Path) -> None:
    (tmp_path / "SegmentationObject").mkdir()
    save(tmp_path, Image.fromarray(boxes((1, 2, 3, 12, 15))))
    write(tmp_path, box("nucleus", 0, 0, 5, 5))
    result, report = import_labels(blank(), tmp_path, mapping={"aeroplane": "nucleus"})
    assert report.format == "voc"
    np.testing.assert_array_equal(result.samples[0].mask, boxes((1, 2, 3, 12, 15)))
    assert any("1 XML files with boxes are not read" in n for n in report.notes)
    assert any("SegmentationObject/ tells objects apart" in n for n in report.notes)


@pytest.mark.parametrize(
    ("objects", "size", "message"),
    [
        ("<object></object>", "", "<name> is missing"),
        ("<object><name>a</name></object>", "", "<bndbox/xmin> is missing"),
        (box("a", 0, 0, 1, 2).replace(">2<", ">two<"), "", "ymax: 'two' is not a number"),
        (box("a", 0, 0, 1e9, 2), "", "a corner at 1e\\+09"),
        ("", "<size><width>1.5</width><height>2</height></size>", "'1.5' is not a whole number"),
        ("<object><name>a</name><polygon><x1>1</x1></polygon></object>", "", "a polygon of 0 points|same number"),
    ],
)
def test_wrong_files_are_named(tmp_path: Path, objects: str, size: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read("voc", write(tmp_path, objects, size=size))
