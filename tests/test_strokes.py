"""The log of labelling: every stroke is kept at once, a crash costs at most the last, no change goes unseen."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelfactory.errors import InputError, WorkError
from labelfactory.factory.labels import strokes
from labelfactory.factory.labels.strokes import LOG, TOOLS, Event, StrokeLog

BRUSH = Event("a", "brush", value=1, points=((1.5, 2.0), (3.0, 2.5)), size=2.0)

NUMBERS = st.floats(-100, 100, allow_nan=False)
# made inside the test: the checks of shapes draw random numbers of their own
EVENTS = st.fixed_dictionaries(
    {
        "sample": st.text(max_size=5),
        "tool": st.sampled_from(["brush", "eraser", "pixels", "undo", "redo", "done"]),
        "value": st.integers(0, 255),
        "points": st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=4).map(tuple),
        "size": st.floats(0.1, 50),
        "instance": st.integers(0, 65535),
        "runs": st.lists(st.tuples(st.integers(0, 255), st.integers(0, 99), st.integers(0, 99)), max_size=3).map(tuple),
        "done": st.booleans(),
    }
)


@given(fields=EVENTS)
def test_an_event_survives_json(fields: dict[str, object]) -> None:
    event = Event(**fields)
    assert Event.from_json(json.loads(json.dumps(event.to_json()))) == event


@pytest.mark.parametrize(
    "document",
    [
        7,
        {"tool": "brush"},
        {"sample": "a", "tool": "format disk"},
        {"sample": "a", "tool": "brush", "points": []},
        {"sample": "a", "tool": "brush", "points": [[1, float("nan")]]},
        {"sample": "a", "tool": "brush", "points": [[1, 2, 3]]},
        {"sample": "a", "tool": "brush", "points": [["1", 2]]},
        {"sample": "a", "tool": "brush", "points": [[0, 0]], "size": -1},
        {"sample": "a", "tool": "brush", "points": [[0, 0]], "size": 1e300},
        {"sample": "a", "tool": "brush", "points": [[0, 0]] * 20_000},
        {"sample": "a", "tool": "brush", "points": [[0, 0]], "value": 256},
        {"sample": "a", "tool": "brush", "points": [[0, 0]], "value": True},
        {"sample": "a", "tool": "brush", "points": [[0, 0]], "path": "/etc"},
        {"sample": "a", "tool": "polygon", "points": [[0, 0], [1, 1]]},
        {"sample": "a", "tool": "pixels", "runs": [[1, -1, 2]]},
        {"sample": "a", "tool": "merge", "objects": [1]},
        {"sample": "a", "tool": "keypoint", "points": [[1, 1]]},
    ],
)
def test_what_is_no_event_is_refused_in_one_line(document: object) -> None:
    with pytest.raises(InputError) as refused:
        Event.from_json(document)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 250


def test_events_are_there_again_after_a_restart(tmp_path: Path) -> None:
    log = StrokeLog.open(tmp_path)
    assert log.append(BRUSH, Event("a", "undo")) == 2
    log.close()
    again = StrokeLog.open(tmp_path)
    assert again.events == [BRUSH, Event("a", "undo")]
    assert again.append(BRUSH) == 3
    again.close()


def test_a_second_writer_is_refused_until_the_first_is_gone(tmp_path: Path) -> None:
    log = StrokeLog.open(tmp_path)
    with pytest.raises(InputError, match="another process"):
        StrokeLog.open(tmp_path)
    log.close()
    StrokeLog.open(tmp_path).close()


def test_a_tear_at_any_byte_costs_the_last_stroke_alone(tmp_path: Path) -> None:
    log = StrokeLog.open(tmp_path)
    log.append(BRUSH)
    first = (tmp_path / LOG).read_bytes()
    log.append(Event("b", "polygon", points=((0, 0), (4, 0), (4, 4))))
    log.close()
    whole = (tmp_path / LOG).read_bytes()
    for length in range(len(first), len(whole)):
        (tmp_path / LOG).write_bytes(whole[:length])
        opened = StrokeLog.open(tmp_path)
        assert opened.events == [BRUSH]
        assert bool(opened.note) == (length > len(first))
        assert (tmp_path / LOG).read_bytes() == first
        opened.close()


def test_a_changed_line_is_refused_by_its_number(tmp_path: Path) -> None:
    log = StrokeLog.open(tmp_path)
    log.append(BRUSH)
    log.append(BRUSH)
    log.append(BRUSH)
    log.close()
    lines = (tmp_path / LOG).read_text().splitlines(keepends=True)
    for bad in (lines[0], lines[1].replace("1.5", "1.6"), "{}\n", "\n", '{"n": 1}\n'):
        (tmp_path / LOG).write_text(lines[0] + bad + lines[2])
        with pytest.raises(InputError, match="line 2"):
            StrokeLog.open(tmp_path)
    (tmp_path / LOG).write_text("".join(lines))
    StrokeLog.open(tmp_path).close()


def test_a_full_disk_keeps_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = StrokeLog.open(tmp_path)
    log.append(BRUSH)
    before = (tmp_path / LOG).read_bytes()
    real = strokes.os.write
    with monkeypatch.context() as patch:
        patch.setattr(strokes.os, "write", lambda file, data: real(file, data[:10]))
        with pytest.raises(WorkError, match="not kept"):
            log.append(BRUSH)
    assert (tmp_path / LOG).read_bytes() == before
    assert log.append(BRUSH) == 2
    log.close()


def test_every_tool_is_one_that_painting_knows() -> None:
    from labelfactory.factory.labels.painting import Canvas

    examples = {
        "polygon": {"points": [[0, 0], [3, 0], [3, 3]]},
        "split": {"points": [[0, 2], [4, 2]], "objects": [1]},
        "merge": {"objects": [1, 2]},
        "keypoint": {"name": "eye", "points": [[1, 1]]},
    }
    for tool in set(TOOLS) - {"undo", "redo"}:
        canvas = Canvas.blank(4, 4)
        canvas.instance[:, 1:3] = 1
        given = {"points": [[1, 1]]} if tool in ("brush", "eraser") else {}
        canvas.apply(Event.from_json({"sample": "a", "tool": tool, **(examples.get(tool) or given)}))
        assert canvas.mask.dtype == np.uint8
