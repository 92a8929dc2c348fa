"""ImageJ's regions: every kind, holes, names of images and of labels, and broken files."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
from format_examples import read
from formats_world import H, W, blank, boxes
from roifile import ROI_TYPE, ImagejRoi

from labelfactory.errors import InputError
from labelfactory.interpreters.formats import import_labels

SQUARE = np.array([[2, 3], [12, 3], [12, 15], [2, 15]])


def polygon(name: str, points: np.ndarray = SQUARE) -> ImagejRoi:
    return ImagejRoi.frompoints(points, name=name)


def box(kind: ROI_TYPE, name: str = "nucleus") -> ImagejRoi:
    roi = ImagejRoi(roitype=kind, left=2, top=3, right=12, bottom=15, name=name)
    roi.n_coordinates = 0
    return roi


def save(path: Path, *rois: ImagejRoi) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for i, roi in enumerate(rois):
            archive.writestr(f"{i:04}-0001.roi", roi.tobytes())
    return path


def test_a_set_given_as_a_zip_is_of_the_image_it_is_called_after(tmp_path: Path) -> None:
    result, report = import_labels(blank(), save(tmp_path / "seed000002_RoiSet.zip", polygon("nucleus-1")))
    assert report.format == "imagej"
    assert (result.samples[0].mask == 255).all()
    np.testing.assert_array_equal(result.samples[1].mask, boxes((1, 2, 3, 12, 15)))
    with pytest.raises(InputError, match="no sample is called 'RoiSet'"):
        import_labels(blank(), save(tmp_path / "RoiSet.zip", polygon("nucleus")))
    result, report = import_labels(blank("only"), tmp_path / "RoiSet.zip")
    np.testing.assert_array_equal(result.samples[0].mask, boxes((1, 2, 3, 12, 15)))
    assert any("is not called like an image, taken for the only one" in n for n in report.notes)


def test_zips_folders_and_single_files(tmp_path: Path) -> None:
    """Beside each other in one folder."""
    save(tmp_path / "a.zip", polygon("nucleus"))
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "0001.roi").write_bytes(polygon("neighbour").tobytes())
    (tmp_path / "c.roi").write_bytes(polygon("nucleus").tobytes())
    result, _ = import_labels(blank("a", "b", "c"), tmp_path)
    assert [int(s.mask.max()) for s in result] == [1, 2, 1]


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("nucleus", "nucleus"),
        ("nucleus-12", "nucleus"),
        ("Nucleus 3", "Nucleus"),
        ("stranger_7", "stranger"),
        ("0012-0034", "roi"),
        ("0001-0012-0034", "roi"),
    ],
)
def test_names_are_labels(tmp_path: Path, name: str, label: str) -> None:
    [drawing] = read("imagej", save(tmp_path / "seed000001.zip", polygon(name)).parent, blank())
    assert drawing.shapes[0].label == label


def test_groups_are_labels_of_regions_without_a_name(tmp_path: Path) -> None:
    roi = polygon("0012-0034")
    roi.group = 2
    [drawing] = read("imagej", save(tmp_path / "seed000001.zip", roi).parent, blank())
    assert drawing.shapes[0].label == "group 2"


def test_boxes_and_ovals(tmp_path: Path) -> None:
    [drawing] = read(
        "imagej", save(tmp_path / "seed000001.zip", box(ROI_TYPE.RECT), box(ROI_TYPE.OVAL)).parent, blank()
    )
    rect, oval = (s.region.fill(H, W) for s in drawing.shapes)
    np.testing.assert_array_equal(rect, boxes((1, 2, 3, 12, 15)) == 1)
    y, x = np.mgrid[:H, :W] + 0.5
    np.testing.assert_array_equal(oval, ((x - 7) / 5) ** 2 + ((y - 9) / 6) ** 2 <= 1)


def test_composites_have_holes(tmp_path: Path) -> None:
    """A path of two squares, the second inside the first."""
    path = []
    for points in (SQUARE, np.array([[5, 6], [8, 6], [8, 9], [5, 9]])):
        path += [0, *points[0]]
        for point in points[1:]:
            path += [1, *point]
        path += [4]
    roi = box(ROI_TYPE.RECT)
    roi.multi_coordinates = np.array(path, np.float32)
    roi.shape_roi_size = len(path)
    [drawing] = read("imagej", save(tmp_path / "seed000001.zip", roi).parent, blank())
    np.testing.assert_array_equal(drawing.shapes[0].region.fill(H, W), boxes((1, 2, 3, 12, 15), (0, 5, 6, 8, 9)) == 1)


def test_points_are_key_points(tmp_path: Path) -> None:
    rois = []
    for name, points in (("tip", [[3, 4]]), ("end", [[5, 6], [7, 8]])):
        roi = ImagejRoi.frompoints(np.array(points), name=name)
        roi.roitype = ROI_TYPE.POINT
        rois.append(roi)
    [drawing] = read("imagej", save(tmp_path / "seed000001.zip", *rois).parent, blank())
    assert [(k.label, k.x, k.y) for k in drawing.keypoints] == [("tip", 3, 4), ("end 1", 5, 6), ("end 2", 7, 8)]


def test_lines_stop_unless_they_are_ignored(tmp_path: Path) -> None:
    line = polygon("scale")
    line.roitype = ROI_TYPE.POLYLINE
    source = save(tmp_path / "seed000001.zip", line, polygon("nucleus"))
    with pytest.raises(InputError, match="a polyline is a line or a remark, without area"):
        import_labels(blank(), source, mapping={"scale": "nucleus"})
    result, _ = import_labels(blank(), source, mapping={"scale": "ignore"})
    assert (result.samples[0].mask == 1).sum() == 120


def test_regions_of_a_stack_are_refused(tmp_path: Path) -> None:
    roi = polygon("nucleus")
    roi.position = 3
    with pytest.raises(InputError, match="belongs to plane 3 of a stack"):
        read("imagej", save(tmp_path / "seed000001.zip", roi).parent, blank())


@pytest.mark.parametrize("data", [b"", b"Iout", b"xxxx" * 40, polygon("a").tobytes()[:70]])
def test_broken_files_are_named(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "seed000001.roi").write_bytes(data)
    with pytest.raises(InputError, match=r"seed000001.roi.*: (is not a region of ImageJ|has no outline|a polygon of)"):
        import_labels(blank(), tmp_path)
