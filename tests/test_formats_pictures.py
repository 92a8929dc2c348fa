"""Masks as pictures: ids, colours, CVAT's colour table, and the pictures that cannot be labels."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from labelfactory.errors import InputError
from labelfactory.interpreters.classes import NUCLEI_CLASSES, palette
from labelfactory.interpreters.formats.cvat_masks import CvatMasks, read_labelmap
from labelfactory.interpreters.formats.drawing import Drawing
from labelfactory.interpreters.formats.pictures import Pictures
from labelfactory.interpreters.formats.source import Source
from labelfactory.interpreters.labelset import LabelSet
from labelfactory.interpreters.pictures import save_mask

LABELS = LabelSet(NUCLEI_CLASSES, (), "g", "ab" * 32)
MASK = np.array([[0, 1, 2], [255, 1, 0]], dtype=np.uint8)


def read_one(folder: Path) -> dict[str, list[list[int]]]:
    [drawing] = Pictures().read(Source(folder), LABELS, {})
    return {s.label: np.argwhere(s.region.fill(*drawing.size)).tolist() for s in drawing.shapes}


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
        (np.zeros((2, 2, 4), np.uint8), "partly transparent"),
        (np.zeros((2, 2), np.uint16), "mode I;16"),
        (np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8), "colours; expected a label picture"),
    ],
)
def test_pictures_that_are_no_labels(tmp_path: Path, pixels: np.ndarray, message: str) -> None:
    Image.fromarray(pixels).save(tmp_path / "a.png")
    with pytest.raises(InputError, match=message):
        read_one(tmp_path)


def test_an_export_in_cvats_layout(label_files: Path) -> None:
    drawings: list[Drawing] = list(CvatMasks().read(Source(label_files / "cvat"), LABELS, {}))
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
        list(CvatMasks().read(Source(tmp_path), LABELS, {}))
    (tmp_path / "labelmap.txt").write_text("background:0,0,0::\n")
    with pytest.raises(InputError, match="no SegmentationClass folder"):
        list(CvatMasks().read(Source(tmp_path), LABELS, {}))
