"""Keypoints find their row by name, whatever tool drew them."""

import json
from pathlib import Path

import numpy as np
import pytest
from nuclei_world import NUCLEI_CLASSES

from labelfactory.errors import InputError
from labelfactory.interpreters.formats import import_labels
from labelfactory.interpreters.labelset import LabelSet, Sample


@pytest.fixture
def labels() -> LabelSet:
    blank = np.full((20, 24), 255, np.uint8)
    samples = tuple(Sample(f"seed00000{i}", np.zeros((20, 24, 1), np.uint8), blank, i) for i in (1, 2))
    return LabelSet(NUCLEI_CLASSES, samples, "g", "ab" * 32)


def coco(path: Path, names: list[str], *rows: list[float]) -> Path:
    data = {
        "images": [{"id": i, "file_name": f"seed00000{i}.png"} for i in (1, 2)],
        "categories": [{"id": 1, "name": "nucleus", "keypoints": names}],
        "annotations": [{"image_id": i + 1, "category_id": 1, "keypoints": row} for i, row in enumerate(rows)],
    }
    path.write_text(json.dumps(data))
    return path


def test_coco_keypoints_declare_the_sets_names(tmp_path: Path, labels: LabelSet) -> None:
    source = coco(tmp_path / "c.json", ["centre", "end"], [3.5, 4.25, 2, 0, 0, 0], [1, 2, 1, 5, 6, 2])
    result, report = import_labels(labels, source)
    assert result.keypoints == ("centre", "end")
    np.testing.assert_array_equal(result.samples[0].keypoints, [[3.5, 4.25, 2], [0, 0, 0]])
    np.testing.assert_array_equal(result.samples[1].keypoints, [[1, 2, 1], [5, 6, 2]])
    assert "  3 keypoints" in report.lines()
    assert not result.samples[0].labelled  # no mask was drawn
    more = coco(tmp_path / "d.json", ["end", "start"], [7, 8, 2, 9, 9, 2])
    with pytest.raises(InputError, match="no keypoint is called 'start'; the set has centre, end"):
        import_labels(result, more)
    kept, _ = import_labels(result, more, unknown="ignore")
    np.testing.assert_array_equal(kept.samples[0].keypoints, [[0, 0, 0], [7, 8, 2]])
    grown, _ = import_labels(result, more, unknown="add")
    assert grown.keypoints == ("centre", "end", "start")
    np.testing.assert_array_equal(grown.samples[0].keypoints, [[0, 0, 0], [7, 8, 2], [9, 9, 2]])
    np.testing.assert_array_equal(grown.samples[1].keypoints, [[1, 2, 1], [5, 6, 2], [0, 0, 0]])


@pytest.mark.parametrize(("file", "expected"), [("labelme.json", (10.25, 10.5)), ("label_studio.json", (10, 9))])
def test_points_of_files_that_tools_wrote(
    label_files: Path, labels: LabelSet, file: str, expected: tuple[float, float]
) -> None:
    result, _ = import_labels(labels, label_files / file)
    assert result.keypoints == ("centre",)
    np.testing.assert_allclose(result.samples[0].keypoints[0], (*expected, 2), atol=1e-3)
    assert result.samples[1].keypoints is None


def test_a_point_drawn_twice_is_refused(tmp_path: Path, labels: LabelSet) -> None:
    point = {"label": "centre", "shape_type": "point", "points": [[3, 4]]}
    (tmp_path / "seed000001.json").write_text(json.dumps({"shapes": [point, point]}))
    with pytest.raises(InputError, match=r"shapes\[1\] \('centre'\): keypoint 'centre' is drawn twice"):
        import_labels(labels, tmp_path)
