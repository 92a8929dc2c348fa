"""A label set being labelled: what is drawn is kept, and the folder's masks follow from it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_world import TinyWorld

from labelfactory.errors import InputError, WorkError
from labelfactory.factory.labels.session import LabelSession, region_at
from labelfactory.factory.labels.strokes import LOG, Event
from labelfactory.interpreters.labelset import LabelSet


@pytest.fixture
def folder(tiny_world: TinyWorld, tmp_path: Path) -> Path:
    """Four images, of which only the first is labelled, and two keypoints."""
    labels = LabelSet.load(tiny_world.labels)
    blank = np.full((16, 16), 255, np.uint8)
    points = np.array([[3.5, 4.5, 2], [0, 0, 0]], np.float32)
    first = labels.samples[0]._replace(keypoints=points)
    samples = (first, *(s._replace(mask=blank) for s in labels.samples[1:]))
    replace(labels, samples=samples, keypoints=("tip", "end")).save(tmp_path / "labels")
    return tmp_path / "labels"


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_what_was_labelled_before_is_where_drawing_begins(folder: Path) -> None:
    before = LabelSet.load(folder)
    with LabelSession(folder) as session:
        np.testing.assert_array_equal(session.canvas("0000").mask, before.samples[0].mask)
        assert session.canvas("0000").keypoints == {"tip": (3.5, 4.5, True)}
        with pytest.raises(InputError, match="nothing to undo"):
            session.add(Event("0000", "undo"))
        saved = session.save()
    assert saved.content_sha256 == before.content_sha256
    assert LabelSet.load(folder).content_sha256 == before.content_sha256


def test_strokes_survive_without_saving_and_equal_logs_give_equal_files(folder: Path) -> None:
    with LabelSession(folder) as session:
        session.add(Event("0001", "brush", value=1, points=((4.0, 4.0), (9.0, 9.0)), size=2.0, instance=1))
        session.add(Event("0001", "brush", value=0, points=((12.0, 3.0),), size=3.0))
        session.add(Event("0002", "keypoint", name="end", points=((7.0, 8.0),), visible=False))
    with LabelSession(folder) as session:
        assert session.log.revision == 5
        assert (session.canvas("0001").mask == 1).any()
        session.save()
    first = files(folder)
    labels = LabelSet.load(folder)
    assert labels.samples[2].keypoints is not None
    assert labels.samples[2].keypoints.tolist() == [[0, 0, 0], [7, 8, 1]]
    assert "objects/0001.png" in first
    with LabelSession(folder) as session:
        session.save()
    assert files(folder) == first


def test_a_proposal_is_accepted_where_nobody_drew(folder: Path) -> None:
    proposal = np.zeros((16, 16), np.uint8)
    proposal[2:6, 2:6] = proposal[10:14, 10:14] = 1
    with LabelSession(folder) as session:
        session.add(Event("0001", "brush", value=0, points=((4.0, 4.0),), size=1.0))
        drawn = session.canvas("0001").mask.copy()
        session.add(session.accepted("0001", proposal, "region", point=(11.0, 11.0)))
        assert (session.canvas("0001").mask[10:14, 10:14] == 1).all()
        assert (session.canvas("0001").mask == 1).sum() == 16
        session.add(session.accepted("0001", proposal, "class", value=1))
        session.add(session.accepted("0001", proposal))
        expected = np.where(drawn == 255, proposal, drawn)
        np.testing.assert_array_equal(session.canvas("0001").mask, expected)
        with pytest.raises(InputError, match="nothing to accept"):
            session.accepted("0001", proposal)
        assert session.history("0001").strokes == 1  # what was accepted is no stroke of a person
        session.add(session.filled("0001", proposal, 1, (0.5, 0.5)))
        assert session.canvas("0001").mask[0, 0] == 1


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (Event("nobody", "brush", points=((1.0, 1.0),)), "not in this label set"),
        (Event("0001", "brush", value=2, points=((1.0, 1.0),)), "classes 0 to 1"),
        (Event("0001", "pixels", runs=((7, 0, 3),)), "classes 0 to 1"),
        (Event("0001", "pixels", runs=((1, 250, 30),)), "ends at pixel"),
        (Event("0001", "keypoint", name="nose", points=((1.0, 1.0),)), "keypoint 'nose'"),
        (Event("0001", "redo"), "nothing to do again"),
    ],
)
def test_what_does_not_fit_the_set_leaves_no_trace(folder: Path, event: Event, message: str) -> None:
    with LabelSession(folder) as session:
        before = (folder / LOG).read_bytes()
        with pytest.raises(InputError, match=message):
            session.add(event)
        assert (folder / LOG).read_bytes() == before
        assert session.history("0001").events == []


def test_a_disk_that_refuses_takes_the_stroke_back(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with LabelSession(folder) as session:

        def full(*_: object, **__: object) -> int:
            raise WorkError("no space left")

        with monkeypatch.context() as patch:
            patch.setattr(session.log, "append", full)
            with pytest.raises(WorkError):
                session.add(Event("0001", "brush", value=1, points=((1.0, 1.0),)))
        assert session.history("0001").events == []
        assert (session.canvas("0001").mask == 255).all()


def test_a_set_without_images_and_a_stranger_s_log_are_refused(folder: Path, tmp_path: Path) -> None:
    with LabelSession(folder) as session:
        session.add(Event("0003", "brush", points=((1.0, 1.0),)))
    labels = LabelSet.load(folder)
    replace(labels, samples=labels.samples[:3]).save(folder, overwrite=True)
    with pytest.raises(InputError, match="lacks"):
        LabelSession(folder)
    replace(labels, samples=()).save(tmp_path / "empty")
    with pytest.raises(InputError, match="no images"):
        LabelSession(tmp_path / "empty")


def test_regions_touch_at_corners() -> None:
    mask = np.eye(4, dtype=np.uint8)
    np.testing.assert_array_equal(region_at(mask, (0.5, 0.5)), mask == 1)
    with pytest.raises(InputError, match="outside"):
        region_at(mask, (4.0, 0.0))


@pytest.mark.parametrize("name", ["objects/0001.png", LOG])
@pytest.mark.parametrize("content", [b"mine", b"mine\n", b'{"a": 1}\n{"a": 2}\n'])
def test_somebodys_files_of_our_names_stay(folder: Path, name: str, content: bytes) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(content)
    before = files(folder)
    with pytest.raises(InputError, match="exists already and is not the factory's"):
        LabelSession(folder)
    after = files(folder)
    assert {path: after[path] for path in before} == before
    (folder / name).unlink()
    with LabelSession(folder) as session:
        session.save()
