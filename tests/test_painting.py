"""Labels are a function of events: what each tool paints, and that undo gives back exactly what was there."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelfactory.errors import InputError
from labelfactory.factory.labels.painting import SNAPSHOT_EVERY, Canvas, History, replay, runs_of, stroke_pixels
from labelfactory.factory.labels.strokes import Event

SIZE = 12


def brush(value: int, *points: tuple[float, float], size: float = 1.0, instance: int = 0, tool: str = "brush") -> Event:
    return Event("a", tool, value=value, points=points, size=size, instance=instance)


def test_a_dot_is_a_disc_and_a_line_is_its_sweep() -> None:
    dot = stroke_pixels([(5.5, 5.5)], 2.0, SIZE, SIZE)
    y, x = np.mgrid[:SIZE, :SIZE] + 0.5
    np.testing.assert_array_equal(dot, (x - 5.5) ** 2 + (y - 5.5) ** 2 <= 4)
    line = stroke_pixels([(2.5, 5.5), (8.5, 5.5)], 1.0, SIZE, SIZE)
    assert line[5, 1:10].all()
    assert line[4, 2:9].all()
    assert not line[7].any()
    assert not line[5, 10:].any()


def test_a_thin_brush_paints_the_pixel_that_it_touches_and_nothing_outside() -> None:
    assert np.argwhere(stroke_pixels([(3.1, 7.9)], 0.1, SIZE, SIZE)).tolist() == [[7, 3]]
    assert not stroke_pixels([(-50, -50), (-40, 80)], 3, SIZE, SIZE).any()


points = st.lists(st.tuples(st.floats(-4, 16), st.floats(-4, 16)), min_size=1, max_size=4).map(tuple)
# fields, made events inside the test: the checks of shapes draw random numbers of their own
acts = st.one_of(
    st.fixed_dictionaries(
        {
            "tool": st.sampled_from(["brush", "eraser"]),
            "points": points,
            "value": st.integers(0, 3),
            "size": st.floats(0.2, 5),
        }
    ),
    st.fixed_dictionaries({"tool": st.sampled_from(["undo", "redo", "done"])}),
    st.fixed_dictionaries(
        {"tool": st.just("polygon"), "value": st.integers(0, 3), "points": st.just(((0, 0), (9, 1), (4, 11)))}
    ),
)


def add(history: History, event: Event) -> None:
    try:
        history.add(event)
    except InputError:
        assert event.tool in ("undo", "redo")


@given(done=st.lists(acts, max_size=80))
def test_the_canvas_is_that_of_the_events_in_force(done: list[dict[str, Any]]) -> None:
    history = History(SIZE, SIZE)
    for fields in done:
        add(history, Event("a", **fields))
    plain = Canvas.blank(SIZE, SIZE)
    for event in history.events:
        plain.apply(event)
    np.testing.assert_array_equal(history.canvas.mask, plain.mask)
    np.testing.assert_array_equal(history.canvas.instance, plain.instance)
    before = history.canvas.mask.copy()
    history.add(brush(2, (3, 3), (9, 9)))
    history.add(Event("a", "undo"))
    np.testing.assert_array_equal(history.canvas.mask, before)


def test_undo_goes_back_to_the_beginning_and_redo_to_the_end() -> None:
    history = History(SIZE, SIZE)
    masks = [history.canvas.mask.copy()]
    for i in range(3 * SNAPSHOT_EVERY):
        history.add(brush(i % 3, (i % SIZE, (i * 7) % SIZE)))
        masks.append(history.canvas.mask.copy())
    for expected in masks[-2::-1]:
        history.add(Event("a", "undo"))
        np.testing.assert_array_equal(history.canvas.mask, expected)
    with pytest.raises(InputError, match="nothing to undo"):
        history.add(Event("a", "undo"))
    for expected in masks[1:]:
        history.add(Event("a", "redo"))
        np.testing.assert_array_equal(history.canvas.mask, expected)
    with pytest.raises(InputError, match="nothing to do again"):
        history.add(Event("a", "redo"))
    history.add(Event("a", "undo"))
    history.add(brush(1, (1, 1)))
    with pytest.raises(InputError, match="nothing to do again"):  # a new act ends what was undone
        history.add(Event("a", "redo"))


def test_subtracting_is_painting_background_and_erasing_is_taking_the_label_away() -> None:
    canvas = Canvas.blank(SIZE, SIZE)
    canvas.apply(brush(1, (6, 6), size=4, instance=5))
    canvas.apply(brush(0, (6, 6), size=2))
    canvas.apply(brush(0, (6, 6), size=1, tool="eraser"))
    assert canvas.mask[6, 6] == 255
    assert canvas.mask[6, 7] == 0
    assert canvas.instance[6, 7] == 0
    assert canvas.mask[6, 9] == 1
    assert canvas.instance[6, 9] == 5


def test_objects_are_merged_and_split() -> None:
    canvas = Canvas.blank(SIZE, SIZE)
    canvas.apply(Event("a", "polygon", value=1, points=((1, 1), (11, 1), (11, 9), (1, 9)), instance=3))
    area = canvas.instance > 0
    canvas.apply(Event("a", "split", points=((4.5, 0), (4.5, 12)), objects=(3,)))
    numbers, counts = np.unique(canvas.instance[area], return_counts=True)
    assert numbers.tolist() == [3, 4]
    assert counts[0] > counts[1]
    assert (canvas.instance > 0)[area].all()
    assert canvas.mask[area].tolist() == [1] * int(area.sum())
    with pytest.raises(InputError, match="does not cut"):
        canvas.apply(Event("a", "split", points=((0, 0), (0.5, 0.5)), objects=(3,)))
    canvas.apply(Event("a", "merge", objects=(3, 4)))
    assert np.unique(canvas.instance[area]).tolist() == [3]


@given(data=st.data())
def test_runs_give_the_region_back(data: st.DataObject) -> None:
    values = data.draw(st.lists(st.integers(0, 2), min_size=30, max_size=30))
    chosen = data.draw(st.lists(st.booleans(), min_size=30, max_size=30))
    mask, region = np.array(values, np.uint8).reshape(5, 6), np.array(chosen).reshape(5, 6)
    canvas = Canvas.blank(5, 6)
    canvas.apply(Event("a", "pixels", runs=runs_of(mask, region)))
    np.testing.assert_array_equal(canvas.mask, np.where(region, mask, 255))


def test_a_run_beyond_the_picture_changes_nothing() -> None:
    history = History(4, 4)
    with pytest.raises(InputError, match="ends at pixel"):
        history.add(Event("a", "pixels", runs=((1, 0, 3), (1, 15, 2))))
    assert (history.canvas.mask == 255).all()
    assert history.events == []


def test_replay_sorts_events_to_their_samples() -> None:
    events = [brush(1, (2, 2)), Event("b", "keypoint", name="tip", points=((1.0, 2.0),)), Event("a", "done", done=True)]
    histories = replay(events, ["a", "b", "c"], SIZE, SIZE)
    assert [histories[n].state for n in "abc"] == ["done", "strokes", "untouched"]
    assert histories["a"].strokes == 1
    assert histories["b"].canvas.keypoints == {"tip": (1.0, 2.0, True)}
    with pytest.raises(InputError, match="lacks"):
        replay(events, ["a"], SIZE, SIZE)
