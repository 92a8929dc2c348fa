"""One rule for which classes are things and one for what an object is, wherever masks are looked at."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from disc_world import write_folder
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from storage_data import make_spec

from labelfactory.factory.evaluation.instances import objects_of
from labelfactory.factory.heads.centres import objects_in_masks
from labelfactory.factory.pairs.border import BorderWeighted, border_weights
from labelfactory.factory.pairs.labelled import LabelledPairs
from labelfactory.factory.pairs.pairs import ArrayPairs
from labelfactory.interpreters.classes import LabelClass
from labelfactory.interpreters.instances import label_instances
from labelfactory.interpreters.labelset import LabelSet, Sample
from labelfactory.masks import connected_objects, countable, is_thing
from labelfactory.storage.segments import segments
from labelfactory.storage.spec import ClassInfo

BLACK = (0, 0, 0)


@pytest.mark.parametrize("name", ["background", "nucleus"])
@pytest.mark.parametrize("said", [None, False, True])
def test_label_sets_stores_and_folders_agree_on_what_is_a_thing(tmp_path: Path, name: str, said: bool | None) -> None:
    expected = said if said is not None else name != "background"
    assert is_thing(name, said) == expected
    assert LabelClass(name, BLACK, said).is_thing == ClassInfo(name, BLACK, said).thing == expected
    folder = write_folder(tmp_path / "real", n=1)
    entry = {"name": name} if said is None else {"name": name, "thing": said}
    (folder / "classes.json").write_text(json.dumps([entry, {"name": "rest", "thing": False}]))
    classes = LabelledPairs(folder).classes or ()
    assert classes[0].is_thing == expected
    for some in (classes, tuple(ClassInfo(c.name, c.color, c.thing) for c in classes)):
        assert countable(some) == ([0] if expected else [], None)


def test_the_boundary_class_is_no_object_of_its_own() -> None:
    classes = [LabelClass("background", BLACK), LabelClass("cell", BLACK), LabelClass("boundary", BLACK)]
    assert countable(classes) == ([1], 2)


@pytest.mark.parametrize("boundary", [False, True])
def test_two_squares_that_touch_at_a_corner_are_the_same_objects_for_all(boundary: bool) -> None:
    """One object as corners connect; two where a boundary class was drawn to keep objects apart."""
    mask = np.zeros((8, 8), np.uint8)
    mask[1:4, 1:4] = mask[4:7, 4:7] = 1
    objects = 2 if boundary else 1
    names = ("background", "cell", "boundary" if boundary else "rest")
    classes = tuple(LabelClass(name, BLACK) for name in names)
    things, line = countable(classes)

    assert connected_objects(mask, things, line)[0].max() == objects
    assert len(label_instances(mask, things, line)[1]) == objects
    assert len(objects_of(mask, things, boundary=line).classes) == objects
    weights = BorderWeighted(ArrayPairs(mask[None, ..., None], mask[None]), classes=classes)[0].weights
    np.testing.assert_array_equal(weights, border_weights(connected_objects(mask, things, line)[0]))
    assert (weights > 1).any() == boundary  # a single object has no border to another

    sample = Sample("a", np.zeros((8, 8, 1), np.uint8), mask, 0)
    assert objects_in_masks(LabelSet(classes, (sample,), "g", "ab" * 32), sample).max() == objects
    spec = replace(make_spec(), height=8, width=8, classes=tuple(ClassInfo(c.name, c.color, c.thing) for c in classes))
    assert sum(s.thing for s in segments(spec, mask)) == objects


@given(arrays(np.uint8, (7, 9), elements=st.sampled_from([0, 1, 2, 255])), st.sampled_from([None, 2]))
def test_objects_cover_their_classes_and_hold_one_class_each(mask: np.ndarray, boundary: int | None) -> None:
    things = [1] if boundary else [1, 2]
    numbers, classes = connected_objects(mask, things, boundary)
    np.testing.assert_array_equal(numbers > 0, np.isin(mask, things))
    assert numbers.max() == len(classes)
    for number, label in enumerate(classes, 1):
        assert (mask[numbers == number] == label).all()


def test_a_drawn_boundary_of_a_store_stays_one_region() -> None:
    """Nothing keeps the parts of the boundary itself apart."""
    mask = np.diag([2, 2, 2]).astype(np.uint8)
    names = ("background", "cell", "boundary")
    spec = replace(make_spec(), height=3, width=3, classes=tuple(ClassInfo(name, BLACK) for name in names))
    assert [s.area for s in segments(spec, mask) if s.class_id == 2] == [3]
