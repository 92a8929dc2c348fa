"""What to label: diverse candidates, or those that an interpreter is unsure of."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nuclei_world import NUCLEI_CLASSES

from labelfactory.errors import InputError
from labelfactory.factory.generator import ImageGenerator
from labelfactory.factory.labels.proposing import predict_masks
from labelfactory.factory.labels.selection import (
    candidate_seeds,
    choose_contested,
    choose_diverse,
    describe_candidates,
    sample_label_set,
)
from labelfactory.factory.latents import latents
from labelfactory.interpreters import InputError as InterpreterInputError
from labelfactory.interpreters import StyleInterpreter
from labelfactory.interpreters.labelset import LabelSet


@pytest.fixture
def interpreter(tiny_generator: ImageGenerator) -> StyleInterpreter:
    model = StyleInterpreter(tiny_generator.feature_channels, 3, members=3)
    model.generator_sha256 = tiny_generator.sha256
    model.classes = [{"name": c.name, "color": list(c.color)} for c in NUCLEI_CLASSES]
    return model


def test_candidate_seeds_differ_and_repeat() -> None:
    seeds = candidate_seeds(500, 0)
    assert len(set(seeds)) == 500
    assert all(0 <= s < 2**64 for s in seeds)
    assert candidate_seeds(100, 0) == seeds[:100] == candidate_seeds(100, 0)
    assert not set(seeds) & set(candidate_seeds(500, 1))


def test_diverse_choice_takes_one_of_each_group() -> None:
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(5), [90, 5, 3, 1, 1])
    features = rng.normal(size=(5, 20)).astype(np.float32)[group] * 10 + rng.normal(size=(100, 20)).astype(np.float32)
    chosen = choose_diverse(features, 5)
    assert sorted(group[chosen]) == [0, 1, 2, 3, 4]


def test_contested_choice_is_uncertain_and_spread() -> None:
    rng = np.random.default_rng(0)
    group = np.arange(100) % 4
    features = rng.normal(size=(4, 20)).astype(np.float32)[group] * 10 + rng.normal(size=(100, 20)).astype(np.float32)
    scores = rng.random(100).astype(np.float32)
    chosen = choose_contested(features, scores, 4)
    assert sorted(group[chosen]) == [0, 1, 2, 3]
    for k in range(4):
        assert scores[chosen[group[chosen] == k]] == scores[group == k].max()


@settings(deadline=None, max_examples=15)
@given(st.integers(1, 12), st.integers(1, 3))
def test_choices_are_different_even_where_candidates_are_equal(count: int, kinds: int) -> None:
    features = np.repeat(np.eye(3, 8, dtype=np.float32)[:kinds], 12, axis=0)
    assert len(set(choose_diverse(features, count).tolist())) == count
    assert len(set(choose_contested(features, np.zeros(len(features), np.float32), count).tolist())) == count


@pytest.mark.parametrize("strategy", ["random", "kmeans", "uncertain"])
def test_a_label_set_to_fill_in(
    tiny_generator: ImageGenerator, interpreter: StyleInterpreter, tmp_path: Path, strategy: str
) -> None:
    kwargs = {"candidates": 12, "interpreter": interpreter, "progress": False}
    labels = sample_label_set(tiny_generator, "somewhere.pkl", 4, NUCLEI_CLASSES, strategy, **kwargs)
    assert len(labels) == 4
    assert not len(labels.labelled)
    labels.check_generator(tiny_generator.sha256)
    for sample in labels:
        again = tiny_generator.generate(latents([sample.seed], tiny_generator.latent_shape), 0.7).images[0].numpy()
        np.testing.assert_array_equal(again, sample.image)
    labels.save(tmp_path / "set")
    assert LabelSet.load(tmp_path / "set").content_sha256 == labels.content_sha256
    again = sample_label_set(tiny_generator, "somewhere.pkl", 4, NUCLEI_CLASSES, strategy, **kwargs)
    assert again.content_sha256 == labels.content_sha256
    more = sample_label_set(tiny_generator, "somewhere.pkl", 8, NUCLEI_CLASSES, strategy, extends=labels, **kwargs)
    assert [s.name for s in more][:4] == [s.name for s in labels]
    assert len({s.seed for s in more}) == 12


def test_scores_come_from_the_interpreter(tiny_generator: ImageGenerator, interpreter: StyleInterpreter) -> None:
    seeds = candidate_seeds(20, 3)
    features, scores = describe_candidates(tiny_generator, seeds, 0.7, interpreter, progress=False)
    assert features.shape == (20, sum(tiny_generator.feature_channels))
    maps = tiny_generator.generate(latents(seeds[:16], tiny_generator.latent_shape), 0.7).feature_maps
    np.testing.assert_allclose(scores[:16], interpreter.predict(maps).score.numpy())


def test_wrong_wishes(tiny_generator: ImageGenerator, interpreter: StyleInterpreter) -> None:
    def ask(count: int = 2, strategy: str = "kmeans", **kwargs: object) -> None:
        sample_label_set(tiny_generator, "g", count, NUCLEI_CLASSES, strategy, progress=False, **kwargs)

    with pytest.raises(InputError, match="count is 0"):
        ask(0)
    with pytest.raises(InputError, match="3 candidates for 9 images"):
        ask(9, candidates=3)
    with pytest.raises(InputError, match="uncertain needs an interpreter"):
        ask(strategy="uncertain")
    interpreter.generator_sha256 = "cd" * 32
    with pytest.raises(InputError, match="belongs to another generator"):
        ask(strategy="uncertain", interpreter=interpreter)
    with pytest.raises(InputError, match="seed -1"):
        ask(seed=-1)
    stranger = LabelSet(NUCLEI_CLASSES, (), "g", "cd" * 32)
    with pytest.raises(InterpreterInputError, match="labels belong to generator g"):
        ask(extends=stranger)


def test_masks_to_start_labelling_from(
    tiny_generator: ImageGenerator, tiny_checkpoint: Path, interpreter: StyleInterpreter, tmp_path: Path
) -> None:
    labels = sample_label_set(tiny_generator, str(tiny_checkpoint), 3, NUCLEI_CLASSES, "random")
    done = labels.samples[0]._replace(mask=np.zeros_like(labels.samples[0].mask))
    labels = LabelSet(labels.classes, (done, *labels.samples[1:]), labels.generator_uri, labels.generator_sha256)
    interpreter.save(tmp_path / "i.safetensors")
    masks, scores, name = predict_masks(labels, tmp_path / "i.safetensors")
    assert set(masks) == set(scores) == {s.name for s in labels.samples[1:]}
    assert name.startswith("i-")
    sample = labels.samples[2]
    with torch.inference_mode():
        maps = tiny_generator.generate(latents([sample.seed], tiny_generator.latent_shape), 0.7).feature_maps
        np.testing.assert_array_equal(masks[sample.name], interpreter.predict(maps).mask[0].numpy())
    interpreter.classes[1]["name"] = "cell"
    interpreter.save(tmp_path / "other.safetensors")
    with pytest.raises(InputError, match="classes differ"):
        predict_masks(labels, tmp_path / "other.safetensors")
