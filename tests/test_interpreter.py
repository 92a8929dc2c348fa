"""The ensemble as a whole: learns from a few scenes, labels new ones, and the fast path agrees with the definition."""

import pytest
import torch
from interpreter_world import CHANNELS, scene

from labelfactory.interpreters import InputError, Recipe, StyleInterpreter


@pytest.fixture(scope="module")
def trained() -> StyleInterpreter:
    model = StyleInterpreter(CHANNELS, 3, members=4)
    model.fit([scene(i) for i in range(6)], progress=False, recipe=Recipe(pixels_per_image=500, max_epochs=3))
    return model


def test_it_labels_scenes_it_has_never_seen(trained: StyleInterpreter) -> None:
    maps, mask = scene(100)
    prediction = trained.predict(maps)
    assert (prediction.mask[0] == mask).float().mean() > 0.9
    assert set(mask.unique().tolist()) == set(prediction.mask.unique().tolist())


def test_fast_path_equals_the_definition(trained: StyleInterpreter) -> None:
    maps = [torch.cat(pair) for pair in zip(scene(101)[0], scene(102)[0], strict=True)]
    fast, plain = trained.predict(maps), trained.predict_reference(maps)
    assert torch.equal(fast.mask, plain.mask)
    assert (fast.uncertainty - plain.uncertainty).abs().max() < 1e-3
    torch.testing.assert_close(fast.score, plain.score)


def test_the_same_seed_gives_the_same_file() -> None:
    def train(seed: int) -> str:
        model = StyleInterpreter(CHANNELS, 3, members=2, hidden=(8,))
        model.fit((scene(i) for i in range(2)), seed=seed, progress=False, recipe=Recipe(100, max_epochs=1))
        return model.sha256

    assert train(1) == train(1) != train(2)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda maps: maps[:-1], "24, 24, 16, 16]"),
        (lambda maps: [m[0] for m in maps], "batch, channels"),
        (lambda maps: [m.long() for m in maps], "int64"),
        (lambda maps: [maps[0].repeat(2, 1, 1, 1), *maps[1:]], "batch sizes"),
        (lambda maps: [m[:0] for m in maps], "batch sizes"),
    ],
)
def test_wrong_maps_are_refused_in_one_line(trained: StyleInterpreter, change, words: str) -> None:
    with pytest.raises(InputError) as caught:
        trained.output_size(change(scene(0)[0]))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
