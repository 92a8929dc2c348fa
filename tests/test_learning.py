"""Learning while somebody draws: a few strokes are enough, and the process says what it proposes."""

from pathlib import Path

import numpy as np
import torch
from heard import Heard
from tiny_world import TinyWorld

from labelfactory.errors import WorkError
from labelfactory.factory.labels.learning import FeatureStore, Learner
from labelfactory.factory.labels.learning_process import LearningProcess
from labelfactory.factory.labels.proposer import Progress, Proposal
from labelfactory.interpreters.labelset import LabelSet


def test_a_few_strokes_teach_what_all_samples_show(tiny_world: TinyWorld) -> None:
    labels = LabelSet.load(tiny_world.labels)
    learner = Learner(tiny_world.generator, labels)
    assert learner.train().steps == 0  # nothing is drawn
    drawn = np.full((16, 16), 255, np.uint8)
    drawn[::3, ::3] = labels.samples[0].mask[::3, ::3]
    learner.learn(0, drawn)
    assert learner.pixels == 36
    losses = [learner.train(seconds=10.0, most=40).loss for _ in range(3)]
    assert losses[-1] < losses[0]

    def right(index: int) -> float:
        return float((learner.predict(index).mask[0].numpy() == labels.samples[index].mask).mean())

    assert right(0) > 0.85
    before = right(1)
    drawn[::3, ::3] = labels.samples[1].mask[::3, ::3]
    learner.learn(1, drawn)
    for _ in range(3):
        learner.train(seconds=10.0, most=40)
    assert right(1) > max(0.8, before)  # goes on from what it knew


def test_what_is_taken_away_is_not_learned_from(tiny_world: TinyWorld) -> None:
    labels = LabelSet.load(tiny_world.labels)
    learner = Learner(tiny_world.generator, labels)
    learner.learn(0, labels.samples[0].mask)
    learner.learn(1, labels.samples[1].mask)
    assert learner.pixels == 512
    learner.learn(0, np.full((16, 16), 255, np.uint8))
    assert learner.pixels == 256
    one = np.full((16, 16), 255, np.uint8)
    one[:8] = 1
    learner.learn(1, one)
    assert learner.classes == [1]
    assert learner.train().steps == 0  # one class alone says nothing


def test_equal_drawing_gives_equal_proposals(tiny_world: TinyWorld) -> None:
    labels = LabelSet.load(tiny_world.labels)
    found = []
    for _ in range(2):
        learner = Learner(tiny_world.generator, labels, seed=3)
        learner.learn(2, labels.samples[2].mask)
        learner.train(seconds=60.0, most=5)
        found.append(learner.predict(1))
    assert torch.equal(found[0].mask, found[1].mask)
    assert torch.equal(found[0].uncertainty, found[1].uncertainty)


def test_feature_maps_stay_within_their_budget(tiny_world: TinyWorld) -> None:
    labels = LabelSet.load(tiny_world.labels)
    plenty = FeatureStore(tiny_world.generator, labels)
    tight = FeatureStore(tiny_world.generator, labels, budget=1)
    for index in (0, 1, 0, 3):
        for a, b in zip(plenty.maps(index), tight.maps(index), strict=True):
            assert torch.equal(a, b)
    assert (len(plenty._kept), len(tight._kept)) == (3, 1)


def test_the_process_proposes_what_is_looked_at_first_and_then_the_rest(tiny_world: TinyWorld) -> None:
    labels, heard = LabelSet.load(tiny_world.labels), Heard()
    process = LearningProcess(labels, str(tiny_world.checkpoint), "cpu", heard)
    try:
        process.looked_at(2)
        process.drawn(0, labels.samples[0].mask)
        heard.wait(lambda said: {m.index for m in said if isinstance(m, Proposal)} == {0, 1, 2, 3})
        proposals = [m for m in heard.messages if isinstance(m, Proposal)]
        assert proposals[0].index == 2
        assert any(isinstance(m, Progress) and m.steps for m in heard.messages)
        assert (proposals[-1].mask.shape, proposals[-1].uncertainty.dtype) == ((16, 16), np.uint8)
    finally:
        process.stop()
    assert not process._process.is_alive()


def test_a_process_that_fails_says_why(tiny_world: TinyWorld, tmp_path: Path) -> None:
    heard = Heard()
    process = LearningProcess(LabelSet.load(tiny_world.labels), str(tmp_path / "gone.pkl"), "cpu", heard)
    try:
        heard.wait(lambda said: any(isinstance(m, WorkError) for m in said))
        assert "gone.pkl" in str(heard.messages[0])
    finally:
        process.stop()
