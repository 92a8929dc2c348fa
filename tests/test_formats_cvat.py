"""CVAT's XML: every kind of shape, the order of drawing, several jobs, and what is refused."""

import re
from pathlib import Path

import numpy as np
import pytest
from format_examples import read
from formats_world import H, W, blank, boxes

from labelfactory.errors import InputError
from labelfactory.interpreters.formats import import_labels

BOX = '<box label="nucleus" xtl="2" ytl="3" xbr="12" ybr="15" z_order="0"/>'


def document(*elements: str, name: str = "seed000001.png", meta: str = "") -> str:
    image = f'<image id="0" name="{name}" width="{W}" height="{H}">{"".join(elements)}</image>'
    return f'<?xml version="1.0" encoding="utf-8"?>\n<annotations><version>1.1</version>{meta}{image}</annotations>'


def write(folder: Path, *elements: str) -> Path:
    (folder / "annotations.xml").write_text(document(*elements), encoding="utf-8")
    return folder


def test_polygons_boxes_and_ellipses(tmp_path: Path) -> None:
    polygon = '<polygon label="nucleus" points="2.00,3.00;12.00,3.00;12.00,15.00;2.00,15.00" group_id="4"/>'
    ellipse = '<ellipse label="neighbour" cx="18" cy="10" rx="5" ry="2" rotation="90"/>'
    [drawing] = read("cvat", write(tmp_path, polygon, BOX.replace("nucleus", "b"), ellipse))
    first, second, third = (s.region.fill(H, W) for s in drawing.shapes)
    np.testing.assert_array_equal(first, boxes((1, 2, 3, 12, 15)) == 1)
    np.testing.assert_array_equal(second, first)
    y, x = np.mgrid[:H, :W] + 0.5
    np.testing.assert_array_equal(third, ((x - 18) / 2) ** 2 + ((y - 10) / 5) ** 2 <= 1)
    assert drawing.shapes[0].group == 4
    assert drawing.size == (H, W)


def test_boxes_turn_about_their_centre(tmp_path: Path) -> None:
    turned = '<box label="nucleus" xtl="4" ytl="6" xbr="12" ybr="10" rotation="90.00"/>'
    [drawing] = read("cvat", write(tmp_path, turned))
    np.testing.assert_array_equal(drawing.shapes[0].region.fill(H, W), boxes((1, 6, 4, 10, 12)) == 1)


def test_masks_run_along_the_rows_of_their_box(tmp_path: Path) -> None:
    """The example of CVAT's own documentation: a disc of 13 x 15 pixels."""
    rle = "3, 5, 7, 7, 5, 9, 3, 11, 2, 11, 2, 12, 1, 12, 1, 26, 1, 12, 1, 12, 2, 11, 3, 9, 5, 7, 7, 5, 3"
    mask = f'<mask label="nucleus" rle="{rle}" left="7" top="2" width="13" height="15"/>'
    [drawing] = read("cvat", write(tmp_path, mask))
    filled = drawing.shapes[0].region.fill(H, W)
    runs = [int(v) for v in rle.split(",")]
    assert filled.sum() == sum(runs[1::2])
    assert filled[2, 10:15].all()
    assert filled[2].sum() == 5
    assert not filled[17:].any()


def test_what_is_drawn_over_what_follows_z_order(tmp_path: Path) -> None:
    above = '<box label="neighbour" xtl="5" ytl="5" xbr="9" ybr="9" z_order="2"/>'
    result, _ = import_labels(blank(), write(tmp_path, above, BOX))
    np.testing.assert_array_equal(result.samples[0].mask, boxes((1, 2, 3, 12, 15), (2, 5, 5, 9, 9)))


def test_points_and_skeletons_are_key_points(tmp_path: Path) -> None:
    skeleton = (
        '<skeleton label="cell"><points label="top" points="3.5,4.5" occluded="1"/>'
        '<points label="tail" points="0,0" outside="1"/></skeleton>'
    )
    [drawing] = read("cvat", write(tmp_path, '<points label="tip" points="1.50,2.50"/>', skeleton))
    assert [(k.label, k.x, k.y, k.visible) for k in drawing.keypoints] == [
        ("tip", 1.5, 2.5, True),
        ("top", 3.5, 4.5, False),
    ]


def test_lines_stop_unless_they_are_ignored(tmp_path: Path) -> None:
    line = '<polyline label="scale" points="1,1;5,1"/>'
    write(tmp_path, line, BOX, '<tag label="good"/>')
    with pytest.raises(InputError, match=r"polyline\[0\] \('scale'\): a polyline has no area.*map its label"):
        import_labels(blank(), tmp_path, mapping={"scale": "nucleus"})
    result, report = import_labels(blank(), tmp_path, mapping={"scale": "ignore"})
    np.testing.assert_array_equal(result.samples[0].mask, boxes((1, 2, 3, 12, 15)))
    assert any("a tag is of the whole image" in n for n in report.notes)


def test_several_jobs(tmp_path: Path) -> None:
    """A file a job; where jobs overlap an image may come twice: the same, or empty in one of them."""
    (tmp_path / "job_1.xml").write_text(document(BOX, meta="<meta><job><id>1</id></job></meta>"))
    (tmp_path / "job_2.xml").write_text(document(BOX, name="seed000002.png"))
    result, report = import_labels(blank(), tmp_path)
    assert report.format == "cvat"
    assert [int((s.mask == 1).sum()) for s in result] == [120, 120]
    for again in (document(BOX), document()):
        (tmp_path / "job_3.xml").write_text(again)
        result, report = import_labels(blank(), tmp_path)
        assert int((result.samples[0].mask == 1).sum()) == 120
        assert any("is in several jobs, taken once" in n for n in report.notes)
    (tmp_path / "job_3.xml").write_text(document(BOX.replace("12", "14")))
    with pytest.raises(InputError, match=r"job_3.xml: image\[0\] .* is drawn differently in .*job_1.xml"):
        import_labels(blank(), tmp_path)


def test_masks_beside_the_xml_are_two_readings(tmp_path: Path) -> None:
    (tmp_path / "SegmentationClass").mkdir()
    (tmp_path / "labelmap.txt").write_text("background:0,0,0::\n")
    with pytest.raises(InputError, match=r"has annotations.xml and masks of the same; give one of the two alone"):
        read("cvat", write(tmp_path, BOX))


@pytest.mark.parametrize(
    ("element", "message"),
    [
        ('<polygon label="a" points="1,2;3,4"/>', r"polygon\[0\] \('a'\): a polygon of 2 points"),
        ('<polygon label="a" points="1,2;3"/>', "points have '3'"),
        ('<polygon label="a" points="1,2;3,x;1,1"/>', "'x' is not a number"),
        ('<polygon label="a" points="1,2;nan,3;1,1"/>', "'nan' is not a finite number"),
        ('<polygon label="a"/>', '"points" is missing'),
        ('<polygon points="1,2;3,4"/>', '"label" is missing'),
        ('<box label="a" xtl="0" ytl="0" xbr="1e9" ybr="2"/>', "xbr is 1e\\+09 pixels"),
        ('<mask label="a" rle="3, 5" left="0" top="0" width="2" height="2"/>', r"adds up to 8 pixels; expected 2 x 2"),
        ('<mask label="a" rle="-4, 8" left="0" top="0" width="2" height="2"/>', "adds up to 4"),
        ('<mask label="a" rle="1" left="0" top="0" width="999999" height="999999"/>', "is not possible"),
        ('<mask label="a" rle="99999999999999999999" left="0" top="0" width="2" height="2"/>', "is not a whole number"),
        ('<rocket label="a"/>', "<rocket> is not known"),
        ('<box label="a" xtl="0" ytl="0" xbr="1" ybr="2" z_order="up"/>', "z_order: 'up' is not a number"),
    ],
)
def test_wrong_elements_are_named(tmp_path: Path, element: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read("cvat", write(tmp_path, element))


def test_videos_are_refused_with_advice(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text('<annotations><track id="0" label="a"></track></annotations>')
    with pytest.raises(InputError, match=r"holds tracks of a video; export the job as 'CVAT for images 1.1'"):
        read("cvat", tmp_path)


BOMB = '<!DOCTYPE a [<!ENTITY a "xxxxxxxx"><!ENTITY b "&a;&a;&a;&a;">]>'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (document(BOX).replace("<annotations>", f"{BOMB}<annotations>"), "document type or entities"),
        (
            document(BOX).replace("<annotations>", '<!DOCTYPE a SYSTEM "file:///etc/passwd"><annotations>'),
            "document type",
        ),
        (document(BOX)[:-20], "is not valid XML"),
        (document(BOX).replace("utf-8", "utf-99"), "is not readable XML|is not valid XML"),
        ("<annotations>" + "<a>" * 100_000, "is not valid XML"),
    ],
)
def test_hostile_xml(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.xml").write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        import_labels(blank(), tmp_path)
    assert re.match(rf"{re.escape(str(tmp_path))}/a.xml: ", str(caught.value))
