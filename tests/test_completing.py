"""Label sets completed by a restorer: what people drew is kept, marked and never changed; proposals of a restorer."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image

from labelfactory.errors import InputError
from labelfactory.factory.families import open_generator
from labelfactory.factory.labels.proposer import begin_proposer
from labelfactory.factory.translation.completing import complete
from labelfactory.factory.translation.restorer import Restorer, save_restorer
from labelfactory.interpreters.labelset import LabelSet

if TYPE_CHECKING:
    from command_line import Factory
    from tiny_world import TinyWorld

TINY = {"width": 2, "hidden": 2, "depth": 2}


def a_restorer(path: Path, labels: LabelSet, degrade: str = "sparse", channels: int = 0) -> Path:
    torch.manual_seed(0)
    told = {"options": TINY, "degrade": degrade, "class_pixels": [1] * len(labels.classes)}
    save_restorer(path, Restorer(len(labels.classes), channels, **TINY), labels.classes, told)
    return path


def scribbled(labels: LabelSet) -> LabelSet:
    """The first sample drawn in part, the second whole, others not at all."""
    samples = []
    for number, sample in enumerate(labels):
        mask = np.full_like(sample.mask, 255)
        if number == 0:
            mask[2:5, 2:9], mask[10:13, 4:7] = 0, 1
        elif number == 1:
            mask[:] = 1
        samples.append(sample._replace(mask=mask))
    return LabelSet(labels.classes, tuple(samples), labels.generator_uri, labels.generator_sha256)


def test_incomplete_masks_are_completed_and_what_was_drawn_is_kept(tiny_world: "TinyWorld", tmp_path: Path) -> None:
    labels = scribbled(LabelSet.load(tiny_world.labels))
    path = a_restorer(tmp_path / "r.safetensors", labels)
    made, lines = complete(labels, path, "cpu")
    first, second, third = made.samples[:3]
    assert (first.mask != 255).all()
    drawn = labels.samples[0].mask != 255
    assert np.array_equal(first.mask[drawn], labels.samples[0].mask[drawn])
    assert first.drawn is not None
    assert np.array_equal(first.drawn, labels.samples[0].mask)
    assert len(first.restored_by) == 64
    for sample, before in ((second, labels.samples[1]), (third, labels.samples[2])):  # whole, and not drawn at all
        assert np.array_equal(sample.mask, before.mask)
        assert sample.drawn is None
        assert sample.restored_by == ""
    assert f"{first.name}: {(~drawn).sum()} pixels restored" in lines[0]


def test_the_mark_is_saved_read_and_removed_with_the_set(tiny_world: "TinyWorld", tmp_path: Path) -> None:
    labels = scribbled(LabelSet.load(tiny_world.labels))
    made, _ = complete(labels, a_restorer(tmp_path / "r.safetensors", labels), "cpu")
    made.save(tmp_path / "set")
    entries = json.loads((tmp_path / "set" / "labelset.json").read_text())["samples"]
    assert ["drawn" in entry for entry in entries[:3]] == [True, False, False]
    again = LabelSet.load(tmp_path / "set")
    assert np.array_equal(again.samples[0].drawn, made.samples[0].drawn)  # type: ignore[arg-type]
    assert again.samples[0].restored_by == made.samples[0].restored_by
    labels.save(tmp_path / "set", overwrite=True)
    assert not list((tmp_path / "set").glob("drawn/*"))
    sample = made.samples[0]._replace(drawn=np.zeros((3, 3), np.uint8))
    with pytest.raises(InputError, match="what was drawn is uint8"):
        LabelSet(made.classes, (sample,), made.generator_uri, made.generator_sha256)


def test_import_labels_completes_drawings(tiny_world: "TinyWorld", tmp_path: Path, factory: "Factory") -> None:
    labels = LabelSet.load(tiny_world.labels)
    path = a_restorer(tmp_path / "r.safetensors", labels)
    drawn = scribbled(labels).samples[0]
    (tmp_path / "drawings").mkdir()
    Image.fromarray(drawn.mask).save(tmp_path / "drawings" / f"{drawn.name}.png")
    result = factory("import-labels", "--labels", tiny_world.labels, "--source", tmp_path / "drawings", "--restore",
                     path, "--device", "cpu", "--out", tmp_path / "out")  # fmt: skip
    assert result.code == 0, result.err
    assert "pixels restored, mean uncertainty" in result.out
    made = LabelSet.load(tmp_path / "out")
    sample = next(s for s in made if s.name == drawn.name)
    assert (sample.mask != 255).all()
    assert np.array_equal(sample.drawn, drawn.mask)  # type: ignore[arg-type]
    result = factory("import-labels", "--labels", tmp_path / "out", "--source", tmp_path / "drawings")
    assert result.code == 0, result.err
    assert all(s.drawn is None or s.name != drawn.name for s in LabelSet.load(tmp_path / "out"))  # drawn anew


def test_a_restorer_of_other_classes_is_refused(tiny_world: "TinyWorld", tmp_path: Path) -> None:
    labels = LabelSet.load(tiny_world.labels)
    other = LabelSet(labels.classes[::-1], (), labels.generator_uri, labels.generator_sha256)
    path = a_restorer(tmp_path / "r.safetensors", other)
    with pytest.raises(InputError, match="the label set has"):
        complete(labels, path, "cpu")
    generator = open_generator(str(tiny_world.checkpoint), "cpu")
    with pytest.raises(InputError, match="the label set has"):
        begin_proposer("restorer", generator, labels, path)
    with pytest.raises(InputError, match="name it"):
        begin_proposer("restorer", generator, labels, None)
    small = a_restorer(tmp_path / "s.safetensors", labels, "downsample:4")
    with pytest.raises(InputError, match="enlarges small masks"):
        begin_proposer("restorer", generator, labels, small)


def test_a_restorer_proposes_what_is_drawn_completed(tiny_world: "TinyWorld", tmp_path: Path) -> None:
    labels = LabelSet.load(tiny_world.labels)
    generator = open_generator(str(tiny_world.checkpoint), "cpu")
    proposer = begin_proposer("restorer", generator, labels, a_restorer(tmp_path / "r.safetensors", labels))
    assert proposer.revision == 0
    mask = scribbled(labels).samples[0].mask
    proposer.learn(0, mask)
    assert proposer.revision == 1
    assert proposer.train().steps == 0
    proposal = proposer.propose(0)
    assert np.array_equal(proposal.mask[mask != 255], mask[mask != 255])
    assert (proposal.mask != 255).all()
    assert (proposal.uncertainty[mask != 255] == 0).all()
    assert (proposer.propose(1).mask == 255).all()  # nothing is drawn there, nothing is proposed


@pytest.mark.long
def test_proposals_of_a_restorer_come_through_the_learning_process(tiny_world: "TinyWorld", tmp_path: Path) -> None:
    import queue

    from labelfactory.factory.labels.learning_process import LearningProcess
    from labelfactory.factory.labels.proposer import Proposal

    labels = LabelSet.load(tiny_world.labels)
    path = a_restorer(tmp_path / "r.safetensors", labels)
    heard: queue.Queue[object] = queue.Queue()
    process = LearningProcess(labels, str(tiny_world.checkpoint), "cpu", heard.put, proposer="restorer", model=path)
    try:
        mask = scribbled(labels).samples[0].mask
        process.drawn(0, mask)
        found = heard.get(timeout=120)
        assert isinstance(found, Proposal)
        assert found.index == 0
        assert (found.mask != 255).all()
    finally:
        process.stop()
