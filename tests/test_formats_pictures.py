"""Masks as pictures: ids, colours, CVAT's colour table, and the pictures that cannot be labels."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from format_examples import NOTHING as LABELS
from format_examples import pixels, read
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from nuclei_world import NUCLEI_CLASSES
from PIL import Image

from labelfactory.errors import InputError
from labelfactory.interpreters.classes import name_classes, palette
from labelfactory.interpreters.formats.cvat_masks import read as read_cvat
from labelfactory.interpreters.formats.cvat_masks import read_labelmap
from labelfactory.interpreters.formats.drawing import Drawing
from labelfactory.interpreters.formats.source import Source
from labelfactory.interpreters.pictures import read_mask, save_mask

MASK = np.array([[0, 1, 2], [255, 1, 0]], dtype=np.uint8)


def read_one(folder: Path) -> dict[str, list[list[int]]]:
    [drawing] = read("png", folder)
    return pixels(drawing, drawing.size)


EXPECTED = {"background": [[0, 0], [1, 2]], "nucleus": [[0, 1], [1, 1]], "neighbour": [[0, 2]], "__ignore__": [[1, 0]]}


def test_indexed_grey_and_colour_pictures_say_the_same(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    save_mask(path, MASK, NUCLEI_CLASSES)
    assert read_one(tmp_path) == EXPECTED
    Image.fromarray(MASK).save(path)
    assert read_one(tmp_path) == EXPECTED
    rgb = palette(NUCLEI_CLASSES)[MASK]
    Image.fromarray(rgb).save(path)
    assert read_one(tmp_path) == EXPECTED
    Image.fromarray(np.dstack([rgb, np.full_like(MASK, 255)])).save(path)
    assert read_one(tmp_path) == EXPECTED


def test_unknown_ids_and_colours_keep_a_name_for_the_mapping(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 7]], dtype=np.uint8)).save(tmp_path / "a.png")
    assert read_one(tmp_path) == {"background": [[0, 0]], "7": [[0, 1]]}
    Image.fromarray(np.array([[[0, 0, 0], [255, 16, 0]]], dtype=np.uint8)).save(tmp_path / "a.png")
    assert read_one(tmp_path) == {"background": [[0, 0]], "#ff1000": [[0, 1]]}


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (np.full((2, 2, 4), 100, np.uint8), "half transparent"),
        (np.arange(600, dtype=np.uint16).reshape(20, 30), r"mode I;16, no classes; `factory import-values`"),
        (np.zeros((2, 2), np.float32), "mode F, no classes; `factory import-values`"),
        (np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8), "colours; expected a label picture"),
    ],
)
def test_pictures_that_are_no_labels(tmp_path: Path, pixels: np.ndarray, message: str) -> None:
    Image.fromarray(pixels).save(tmp_path / "a.tif")
    with pytest.raises(InputError, match=message):
        read_one(tmp_path)


def test_other_depths_and_formats_say_the_same(tmp_path: Path) -> None:
    ids = np.array([[0, 1, 2], [65535, 1, 0]], dtype=np.uint16)
    for suffix in (".png", ".tif"):
        Image.fromarray(ids).save(tmp_path / f"a{suffix}")
        assert read_one(tmp_path) == EXPECTED
        (tmp_path / f"a{suffix}").unlink()
    Image.fromarray(MASK).save(tmp_path / "a.bmp")
    assert read_one(tmp_path) == EXPECTED
    Image.fromarray(np.array([[False, True]])).save(tmp_path / "a.bmp")
    assert read_one(tmp_path) == {"background": [[0, 0]], "nucleus": [[0, 1]]}
    (tmp_path / "a.bmp").unlink()
    rgba = np.dstack([palette(NUCLEI_CLASSES)[MASK], np.where(MASK == 255, 0, 255).astype(np.uint8)])
    Image.fromarray(rgba).save(tmp_path / "a.png")
    renamed = {("transparent" if n == "__ignore__" else n): places for n, places in EXPECTED.items()}
    assert read_one(tmp_path) == renamed


def test_grey_colours_that_are_no_classes_are_ids(tmp_path: Path) -> None:
    Image.fromarray(np.dstack([MASK] * 3)).save(tmp_path / "a.png")
    [drawing] = read("png", tmp_path)
    assert pixels(drawing, drawing.size) == EXPECTED
    assert "read as class ids" in drawing.notes[0]


def indexed(path: Path, values: np.ndarray, colors: list[tuple[int, int, int]]) -> None:
    image = Image.fromarray(values.astype(np.uint8))
    image.putpalette([v for color in colors for v in color])
    image.save(path)


MANY = name_classes(f"c{i}" for i in range(12))
SETS = {n: replace(LABELS, classes=MANY[:n]) for n in (1, 2, 3, 9, 12)}


@settings(deadline=None)
@given(data=st.data(), count=st.sampled_from([2, 3, 9, 12]))
def test_a_palette_in_another_order_is_read_by_its_colours(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, count: int
) -> None:
    """What an editor that sorts or shortens palettes makes of our masks still means the same."""
    path = tmp_path_factory.mktemp("p") / "a.png"
    mask = data.draw(arrays(np.uint8, (3, 7), elements=st.sampled_from([*range(count), 255])))
    used = np.unique(mask).tolist()
    order = data.draw(st.permutations(used))
    colors = palette(MANY[:count])
    indexed(path, np.vectorize(order.index)(mask), [tuple(colors[v].tolist()) for v in order])
    [drawing] = read("png", path, SETS[count])
    expected = {("__ignore__" if v == 255 else f"c{v}"): np.argwhere(mask == v).tolist() for v in used}
    assert pixels(drawing, (3, 7)) == expected


@settings(deadline=None)
@given(data=st.data(), count=st.sampled_from([2, 3, 9]))
def test_a_palette_of_other_colours_says_nothing(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, count: int
) -> None:
    """Pascal VOC's and other tools' palettes: the indices are the classes."""
    path = tmp_path_factory.mktemp("p") / "a.png"
    foreign = st.tuples(*[st.sampled_from([1, 50, 128, 200, 254])] * 3).filter(lambda c: c != (128, 128, 128))
    colors = data.draw(st.lists(foreign, min_size=count, max_size=count))
    mask = data.draw(arrays(np.uint8, (3, 7), elements=st.integers(0, count - 1)))
    indexed(path, mask, [(0, 0, 0), *colors[1:]])
    [drawing] = read("png", path, SETS[count])
    assert pixels(drawing, (3, 7)) == {f"c{v}": np.argwhere(mask == v).tolist() for v in np.unique(mask).tolist()}


def test_where_index_and_colour_disagree_both_readings_are_named(tmp_path: Path) -> None:
    values, black, blue = np.array([[0, 1, 2]]), NUCLEI_CLASSES[0].color, NUCLEI_CLASSES[2].color
    indexed(tmp_path / "a.png", values, [black, blue, (9, 9, 200)])
    with pytest.raises(InputError, match=r"index 1 is class 'nucleus', but its colour .* is that of 'neighbour'"):
        read("png", tmp_path)
    [drawing] = read("png", tmp_path, mapping={"2": "neighbour"})
    assert list(pixels(drawing, (1, 3))) == ["background", "nucleus", "2"]
    [drawing] = read("png", tmp_path, mapping={"#0909C8": "nucleus"})
    assert list(pixels(drawing, (1, 3))) == ["background", "#0909C8", "neighbour"]
    indexed(tmp_path / "a.png", values, [black] * 3)  # a writer that leaves the palette empty
    with pytest.raises(InputError, match="neither reading fits"):
        read("png", tmp_path)
    indexed(tmp_path / "a.png", values, [(0, 0, 0), (1, 1, 1), (2, 2, 2)])  # a grey ramp is no palette
    [drawing] = read("png", tmp_path)
    assert list(pixels(drawing, (1, 3))) == ["background", "nucleus", "neighbour"]


def test_black_that_fills_a_palette_up_says_nothing(tmp_path: Path) -> None:
    """The classes' colours and then black to the end: 255 is "not labelled" all the same, for label sets too."""
    colors = [c.color for c in NUCLEI_CLASSES]
    indexed(tmp_path / "a.png", MASK, [*colors, *[(0, 0, 0)] * 253])
    assert read_one(tmp_path) == EXPECTED
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png", classes=NUCLEI_CLASSES), MASK)
    sorted_by_editor = np.array([[2, 0, 1], [2, 0, 2]])
    indexed(tmp_path / "a.png", sorted_by_editor, [colors[1], colors[2], *[(0, 0, 0)] * 254])
    assert read_one(tmp_path) == {
        "nucleus": [[0, 1], [1, 1]], "neighbour": [[0, 2]], "background": [[0, 0], [1, 0], [1, 2]],
    }  # fmt: skip


BINARY = np.array([[0, 255, 255]], dtype=np.uint8)


def test_masks_of_0_and_255(tmp_path: Path) -> None:
    Image.fromarray(BINARY).save(tmp_path / "a.png")
    Image.fromarray(np.zeros((1, 3), np.uint8)).save(tmp_path / "b.png")
    first, second = read("png", tmp_path, SETS[2])
    assert pixels(first, (1, 3)) == {"c0": [[0, 0]], "c1": [[0, 1], [0, 2]]}
    assert "255 is read as 'c1'" in first.notes[0]
    assert not second.notes
    with pytest.raises(InputError, match="255 may be a class or 'not labelled'; say which: --map 255=CLASS"):
        read("png", tmp_path)
    for labels in (LABELS, SETS[2]):
        first, _ = read("png", tmp_path, labels, {"255": "ignore"})
        assert list(pixels(first, (1, 3)))[1] == "255"
    Image.fromarray(np.ones((1, 3), np.uint8)).save(tmp_path / "b.png")  # another value somewhere: 255 is no class
    first, _ = read("png", tmp_path, SETS[2])
    assert pixels(first, (1, 3)) == {"c0": [[0, 0]], "__ignore__": [[0, 1], [0, 2]]}
    (tmp_path / "b.png").unlink()
    save_mask(tmp_path / "a.png", BINARY, MANY[:2])  # its palette says that 255 is "not labelled"
    [first] = read("png", tmp_path, SETS[2])
    assert pixels(first, (1, 3)) == {"c0": [[0, 0]], "__ignore__": [[0, 1], [0, 2]]}


def test_black_and_white_in_colour(tmp_path: Path) -> None:
    Image.fromarray(np.dstack([BINARY] * 3)).save(tmp_path / "a.png")
    [drawing] = read("png", tmp_path, SETS[2])
    assert pixels(drawing, (1, 3)) == {"c0": [[0, 0]], "c1": [[0, 1], [0, 2]]}
    assert len(drawing.notes) == 2


def test_a_colour_that_two_classes_share_is_refused(tmp_path: Path) -> None:
    """Sets of version 0.1 gave the ninth class the first one's colour."""
    old = replace(LABELS, classes=tuple(replace(c, color=MANY[i % 8].color) for i, c in enumerate(MANY)))
    Image.fromarray(palette(old.classes)[np.array([[0, 8, 9]])]).save(tmp_path / "a.png")
    with pytest.raises(InputError, match="#000000 is the colour of 'c0' and 'c8'; paint class ids"):
        read("png", tmp_path, old)
    mapping = {"#000000": "c8", "#e69f00": "c9"}
    [drawing] = read("png", tmp_path, old, mapping)
    assert list(pixels(drawing, (1, 3))) == list(mapping)
    save_mask(tmp_path / "a.png", np.array([[0, 8, 9]], np.uint8), old.classes)  # the indices tell them apart
    [drawing] = read("png", tmp_path, old)
    assert list(pixels(drawing, (1, 3))) == ["c0", "c8", "c9"]


def test_an_export_in_cvats_layout(label_files: Path) -> None:
    drawings: list[Drawing] = list(read_cvat(Source(label_files / "cvat")))
    assert [d.names for d in drawings] == [("seed000001",), ("seed000002",)]
    rng = np.random.default_rng(5)
    y, x = np.mgrid[:20, :24]
    for drawing in drawings:
        dx, dy = rng.integers(0, 4, 2)
        regions = {s.label: s.region.fill(20, 24) for s in drawing.shapes}
        nucleus = ((x - 10 - dx) / 6) ** 2 + ((y - 9 - dy) / 5) ** 2 <= 1
        np.testing.assert_array_equal(regions["nucleus"], nucleus)
        np.testing.assert_array_equal(regions["neighbour"], (x > 18) & (y < 6) & ~nucleus)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("nucleus", "line 2: 'nucleus' is not name:red,green,blue"),
        ("nucleus:1,2::", "line 2"),
        ("nucleus:1,2,300::", "colour 1,2,300 is outside"),
        ("nucleus:0,0,0::", "colour 0,0,0 belongs to 'background' already"),
    ],
)
def test_wrong_colour_tables(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "labelmap.txt").write_text(f"background:0,0,0::\n{line}\n")
    with pytest.raises(InputError, match=message):
        read_labelmap(tmp_path / "labelmap.txt")


def test_missing_parts_of_an_export(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"labelmap\.txt: no such file"):
        list(read_cvat(Source(tmp_path)))
    (tmp_path / "labelmap.txt").write_text("background:0,0,0::\n")
    with pytest.raises(InputError, match="no SegmentationClass folder"):
        list(read_cvat(Source(tmp_path)))
