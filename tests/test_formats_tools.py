"""Files that the tools themselves wrote: found by "auto", read to the pixel, and what is left out is said."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from formats_world import H, W, blank, boxes, discs

from labelfactory.errors import InputError
from labelfactory.interpreters.formats import ImportReport, import_labels
from labelfactory.interpreters.labelset import LabelSet


def read(source: Path, labels: LabelSet | None = None, **options: object) -> tuple[list[np.ndarray], ImportReport]:
    result, report = import_labels(labels or blank(), source, **options)  # type: ignore[arg-type]
    return [s.mask for s in result], report


@pytest.mark.parametrize(
    ("place", "format"),
    [
        ("datumaro/cityscapes", "cityscapes"),
        ("datumaro/coco", "coco"),
        ("datumaro/voc", "cvat"),  # its labelmap.txt is CVAT's
        ("label_studio_sdk/brush.json", "label-studio"),
    ],
)
def test_masks_come_to_the_pixel(label_files: Path, place: str, format: str) -> None:
    masks, report = read(label_files / place)
    assert report.format == format
    np.testing.assert_array_equal(masks, [discs(0), discs(1)])


def test_what_a_panoptic_file_leaves_black_is_not_labelled(label_files: Path) -> None:
    masks, report = read(label_files / "datumaro/coco_panoptic")
    np.testing.assert_array_equal(masks, [discs(0, ground=255), discs(1, ground=255)])
    assert report.mapping["__ignore__"] is None
    assert any("tells objects apart" in n for n in report.notes)


def test_datumaros_cvat_xml(label_files: Path) -> None:
    """A polygon, then by z_order a mask over it, though it comes first in the file; two points of one name."""
    masks, report = read(label_files / "datumaro/cvat")
    expected = boxes((1, 2, 3, 12, 15))
    for i, mask in enumerate(masks):
        np.testing.assert_array_equal(mask, np.where(discs(i) == 2, 2, expected))
    assert report.keypoints == 4
    assert any("its 2 points are called 'nucleus 1' to 'nucleus 2'" in n for n in report.notes)


def test_boxes_are_drawn_filled_and_said(label_files: Path) -> None:
    y, x = np.mgrid[:H, :W] + 0.5
    expected = boxes((1, 2, 3, 12, 15))
    expected[(x > 15) & (x < 22) & (y > 4) & (y <= 11.5) & (y < 11.5)] = 2
    for place, format in (("datumaro/voc_detection", "voc"), ("datumaro/yolo", "yolo")):
        masks, report = read(label_files / place)
        assert report.format == format
        for mask in masks:
            np.testing.assert_array_equal(mask, expected)
        assert len([n for n in report.notes if "2 boxes without an outline, drawn filled" in n]) == 2


def test_darwin_pys_file(label_files: Path) -> None:
    """A polygon with a hole, which brings its box along, and a box alone."""
    masks, report = read(label_files / "darwin_py")
    assert report.format == "darwin"
    np.testing.assert_array_equal(masks[0], boxes((1, 2, 3, 12, 15), (0, 5, 6, 8, 9), (2, 14, 3, 18, 5)))


@pytest.mark.parametrize("place", ["poly.json", "min-poly", "coco", "yolo"])
def test_label_studios_exports_say_the_same(label_files: Path, place: str) -> None:
    """A polygon and a rectangle of pictures that were uploaded, so that their names have a prefix."""
    masks, _ = read(label_files / "label_studio_sdk" / place)
    for mask in masks:
        np.testing.assert_array_equal(mask, boxes((1, 6, 3, 18, 15), (2, 18, 10, 24, 15)))


def test_label_studios_voc_has_the_boxes_alone(label_files: Path) -> None:
    masks, report = read(label_files / "label_studio_sdk" / "voc")
    for mask in masks:
        np.testing.assert_array_equal(mask, boxes((2, 18, 10, 24, 15)))
    assert report.format == "voc"


@pytest.mark.parametrize("place", ["brush-png", "brush-npy"])
def test_label_studios_brush_masks(tmp_path: Path, label_files: Path, place: str) -> None:
    """They are called after tasks: the JSON export beside them says which image a task is of."""
    source = label_files / "label_studio_sdk" / place
    with pytest.raises(InputError, match="task 1: masks do not say which image they are of; put the project's JSON"):
        read(source)
    shutil.copytree(source, tmp_path / "masks")
    shutil.copy(label_files / "label_studio_sdk" / "brush.json", tmp_path / "masks")
    masks, report = read(tmp_path / "masks")
    assert report.format == "label-studio-brush"
    np.testing.assert_array_equal(masks, [discs(0), discs(1)])


def test_cityscapes_own_tools_agree(tmp_path: Path, label_files: Path) -> None:
    """Polygons and all three kinds of ids say the same, as its own drawing of polygons is followed."""
    name = "aachen_000000_000019"
    found = {}
    for kind in ("polygons", "labelIds", "instanceIds", "labelTrainIds"):
        folder = tmp_path / kind / "gtFine"
        folder.mkdir(parents=True)
        for path in (label_files / "cityscapesscripts").glob(f"*_{kind}.*"):
            shutil.copy(path, folder)
        result, report = import_labels(blank(f"{name}_leftImg8bit"), tmp_path / kind, unknown="add")
        names = {i: c.name for i, c in enumerate(result.classes)} | {255: "none"}
        found[kind] = np.vectorize(names.get)(result.samples[0].mask)
        assert (report.format, report.mapping["__ignore__"]) == ("cityscapes", None)
    assert set(np.unique(found["polygons"])) == {"none", "sky", "road", "car", "person"}
    for kind in found:
        np.testing.assert_array_equal(found[kind], found["polygons"])
    _, report = import_labels(blank(name), label_files / "cityscapesscripts", unknown="add")
    assert any(
        "labelIds are read, instanceIds, polygons, labelTrainIds of the same images are not" in n for n in report.notes
    )
