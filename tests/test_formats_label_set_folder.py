"""Our own layout read as labels: numbers are those of the folder's own list of classes."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from formats_world import H, W, blank, boxes
from PIL import Image

from labelfactory.errors import InputError
from labelfactory.interpreters.formats import import_labels

MASK = boxes((1, 2, 3, 12, 15), (2, 14, 3, 18, 5))


def test_another_label_set_with_its_classes_in_another_order(tmp_path: Path) -> None:
    """Class numbers and key points of the folder mean what its labelset.json says."""
    mine = blank(keypoints=("tip",))
    points = np.array([[3, 4, 2]], np.float32)
    other = replace(
        mine,
        classes=(mine.classes[0], mine.classes[2], mine.classes[1]),
        samples=tuple(s._replace(mask=MASK, keypoints=points) for s in mine),
    )
    other.save(tmp_path / "other")
    result, report = import_labels(mine, tmp_path / "other")
    assert report.format == "label-set"
    swapped = np.array([0, 2, 1], np.uint8)[MASK]
    for sample in result:
        np.testing.assert_array_equal(sample.mask, swapped)
        assert sample.keypoints is not None
        assert sample.keypoints.tolist() == points.tolist()


@pytest.mark.parametrize("named", [True, False])
def test_folders_with_and_without_a_list_of_classes(tmp_path: Path, named: bool) -> None:
    """The PNG export of a store has classes.json; bare folders have the numbers of the label set."""
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
        Image.fromarray(MASK if folder == "masks" else np.zeros((H, W), np.uint8)).save(
            tmp_path / folder / "seed000001.png"
        )
    if named:
        names = ["background", "neighbour", "nucleus"]
        (tmp_path / "classes.json").write_text(
            json.dumps({"classes": [{"id": i, "name": n} for i, n in enumerate(names)]})
        )
    result, report = import_labels(blank(), tmp_path)
    assert report.format == "label-set"
    expected = np.array([0, 2, 1], np.uint8)[MASK] if named else MASK
    np.testing.assert_array_equal(result.samples[0].mask, expected)


def test_broken_lists_are_named(tmp_path: Path) -> None:
    (tmp_path / "masks").mkdir()
    Image.fromarray(MASK).save(tmp_path / "masks" / "seed000001.png")
    for text in (
        '{"classes": [{"name": "a", "color": [1]}]}',
        '{"classes": []}',
        "{}",
        '{"classes": [{"name": "a"}, {"name": "a"}]}',
    ):
        (tmp_path / "classes.json").write_text(text)
        with pytest.raises(InputError, match=r"classes.json"):
            import_labels(blank(), tmp_path)
