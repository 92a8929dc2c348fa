"""A crop of the labels is the labels of the crop: nothing changes at its edges."""

import contextlib

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from interpreter_world import calm
from test_interpreter_factored import disturbed

from labelfactory.errors import InputError
from labelfactory.interpreters.crop import Crop, whole

side = st.integers(1, 40)


@st.composite
def crops(draw: st.DrawFn, height: int, width: int) -> Crop:
    top, left = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
    return Crop(top, draw(st.integers(top + 1, height)), left, draw(st.integers(left + 1, width)))


@calm
@given(
    data=st.data(),
    sizes=st.lists(st.tuples(side, side), min_size=1, max_size=4),
    hidden=st.sampled_from([(), (16, 8)]),
    budget=st.sampled_from([1, 20_000, 2**28]),
)
def test_predicting_a_crop_is_cropping_the_reference(
    data: st.DataObject, sizes: list[tuple[int, int]], hidden: tuple[int, ...], budget: int
) -> None:
    height, width = max(h for h, _ in sizes), max(w for _, w in sizes)
    crop = data.draw(crops(height, width))
    channels = tuple(range(3, 3 + len(sizes)))
    model = disturbed(channels, 4, 3, hidden, seed=len(sizes))
    maps = [torch.randn(2, c, *size) for c, size in zip(channels, sizes, strict=True)]
    fast, plain = model.predict(maps, budget=budget, crop=crop), model.predict_reference(maps, crop)
    assert fast.mask.shape == (2, crop.height, crop.width)
    assert (fast.mask != plain.mask).sum() <= max(1, 0.01 * plain.mask.numel())  # ties within rounding
    assert (fast.uncertainty - plain.uncertainty).abs().max() < 1e-3
    torch.testing.assert_close(fast.score, plain.score, rtol=1e-3, atol=1e-4)
    all_of_it = model.predict_reference(maps)
    assert torch.equal(plain.mask, all_of_it.mask[:, crop.top : crop.bottom, crop.left : crop.right])


def test_the_score_is_the_crops_own() -> None:
    """An image's most contested pixels outside the crop say nothing about the crop."""
    model = disturbed((3,), 3, 3, (8,), seed=0)
    maps = [torch.randn(1, 3, 12, 12)]
    half = model.predict(maps, crop=Crop(0, 6, 0, 12))
    top = half.uncertainty.flatten().float().topk(8).values.mean()
    torch.testing.assert_close(half.score[0], top, rtol=1e-2, atol=1e-3)


@calm
@given(st.data(), st.integers(1, 600), st.integers(1, 600))
def test_texts_say_what_they_mean(data: st.DataObject, height: int, width: int) -> None:
    crop = data.draw(crops(height, width))
    assert Crop.parse(str(crop), height, width) == crop
    assert Crop.of(crop.numbers) == crop
    assert crop.within(whole((height, width)))
    rows = Crop.parse(f"{crop.top}:{crop.bottom}", height, width)
    assert (rows.left, rows.right) == (0, width)


@calm
@given(st.text("0123456789:,- ", max_size=20))
def test_other_texts_are_refused(text: str) -> None:
    with contextlib.suppress(InputError):
        Crop.parse(text, 64, 64).check(64, 64)


@pytest.mark.parametrize("text", ["8", "8:8", "9:3", "0:65", "0:8,3:3", "0:8,60:65", "-1:4", "a:b", ""])
def test_crops_that_are_none(text: str) -> None:
    with pytest.raises(InputError, match="crop"):
        Crop.parse(text, 64, 64)


def test_a_crop_beyond_the_maps() -> None:
    model = disturbed((3,), 3, 2, (8,), seed=0)
    with pytest.raises(InputError, match="reaches beyond the generator's 8 x 8 pixels"):
        model.predict([torch.zeros(1, 3, 8, 8)], crop=Crop(0, 9, 0, 8))


def test_what_lies_around_stays() -> None:
    crop, around = Crop(1, 3, 0, 2), np.zeros((4, 4))
    out = crop.embed(np.ones((2, 2)), around)
    assert out.sum() == 4
    assert around.sum() == 0
    np.testing.assert_array_equal(out[crop.slices], np.ones((2, 2)))
