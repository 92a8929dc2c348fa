"""Pixels to learn from: every region is there, memory is bounded, statistics are exact, bad samples are named."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from interpreter_world import CHANNELS, calm, scene
from scipy.ndimage import label

from labelfactory.interpreters import InputError, StyleInterpreter
from labelfactory.interpreters.feature_cache import FeatureCache
from labelfactory.interpreters.pixels import channel_statistics, choose_pixels, collect, regions

masks = st.tuples(st.integers(1, 20), st.integers(1, 20), st.integers(0, 2**31)).map(
    lambda t: torch.randint(0, 3, t[:2], generator=torch.Generator().manual_seed(t[2]), dtype=torch.uint8)
)


@calm
@given(masks)
def test_regions_are_the_connected_components(mask: torch.Tensor) -> None:
    ours = regions(mask).numpy()
    for c in range(3):
        theirs, count = label(mask.numpy() == c)
        pairs = np.unique(np.stack([ours[theirs > 0], theirs[theirs > 0]]), axis=1)
        assert len(np.unique(ours[theirs > 0])) == count == pairs.shape[1]


def test_a_spiral_is_one_region() -> None:
    spiral = torch.zeros(41, 41, dtype=torch.uint8)
    y, x, dy, dx = 0, 0, 0, 1
    spiral[0, 0] = 1
    for length in (40, 40, 40, 38, 38, 36, 36, 34, 34, 32, 32, 30, 30):
        for _ in range(length):
            y, x = y + dy, x + dx
            spiral[y, x] = 1
        dy, dx = dx, -dy
    assert len(regions(spiral)[spiral == 1].unique()) == 1


@calm
@given(masks, st.integers(1, 50), st.integers(0, 2**31))
def test_every_labelled_region_is_chosen(mask: torch.Tensor, count: int, seed: int) -> None:
    pixels = choose_pixels(mask, count, 2, torch.Generator().manual_seed(seed))
    labelled = mask.flatten() != 2
    assert bool(labelled[pixels].all())
    assert len(pixels.unique()) == len(pixels)
    names = regions(mask).flatten()
    all_regions, seen = set(names[labelled].tolist()), set(names[pixels].tolist())
    assert seen == all_regions or len(all_regions) > count
    assert set(mask.flatten()[labelled].tolist()) == set(mask.flatten()[pixels].tolist())
    assert len(pixels) <= max(count, 2)
    assert len(pixels) >= min(count, int(labelled.sum()))


@pytest.mark.parametrize("budget", [10**9, 1000])
def test_the_cache_gives_back_what_it_took_wherever_it_keeps_it(budget: int) -> None:
    blocks = [torch.randn(n, 5).half() for n in (30, 1, 80, 300)]
    cache = FeatureCache(budget)
    for block in blocks:
        cache.append(block)
    assert cache.on_disk == (budget == 1000)
    for _ in range(2):
        assert all(torch.equal(a, b.float()) for a, b in zip(cache, blocks, strict=True))
    mean, std = channel_statistics(cache)
    rows = torch.cat(blocks).double()
    torch.testing.assert_close(mean.double(), rows.mean(0), rtol=0, atol=1e-6)
    torch.testing.assert_close(std.double(), rows.std(0, correction=0), rtol=0, atol=1e-6)
    expected = ((rows - mean) / std).half()
    torch.testing.assert_close(
        cache.table(expected.shape[1], lambda x: (x - mean) / std), expected, rtol=1e-3, atol=1e-3
    )


def test_a_channel_that_never_moves_is_silenced() -> None:
    cache = FeatureCache(10**6)
    cache.append(torch.tensor([[7.0, 1.0], [7.0, 2.0]]))
    assert channel_statistics(cache)[1].tolist() == [pytest.approx(1e30), 0.5]


def test_vectors_belong_to_their_labels() -> None:
    """A map that is the mask itself must read back as the labels."""
    model = StyleInterpreter([1, 1], 3)
    mask = torch.randint(0, 3, (8, 6), dtype=torch.uint8)
    sample = ([mask[None, None].float(), torch.zeros(1, 2, 2)], mask)
    cache = FeatureCache(10**6)
    labels, image = collect(model, [sample, sample], 255, 30, torch.Generator().manual_seed(0), cache)
    assert torch.equal(torch.cat(list(cache))[:, 0], labels.float())
    assert image.tolist() == [0] * (len(image) // 2) + [1] * (len(image) // 2)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda maps, mask: (maps, mask[:-1]), "sample 1: mask is uint8 of shape (31, 32)"),
        (lambda maps, mask: (maps, mask.long()), "sample 1: mask is int64"),
        (lambda maps, mask: (maps, mask + 3), "sample 1: mask has class id"),
        (lambda maps, mask: ([m.repeat(2, 1, 1, 1) for m in maps], mask), "sample 1: feature maps of 2 images"),
        (lambda maps, mask: ([m * float("nan") for m in maps], mask), "sample 1: feature maps are not finite"),
        (lambda maps, mask: (maps[::-1], mask), "channels"),
    ],
)
def test_a_bad_sample_is_named_in_one_line(change, words: str) -> None:
    model = StyleInterpreter(CHANNELS, 3, members=1)
    with pytest.raises(InputError) as caught:
        model.fit([scene(0), change(*scene(1))], progress=False)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_one_class_alone_cannot_be_learnt() -> None:
    maps, mask = scene(0)
    with pytest.raises(InputError, match="fewer than two classes"):
        StyleInterpreter(CHANNELS, 3).fit([(maps, torch.where(mask == 1, mask, 255))], progress=False)
    with pytest.raises(InputError, match="fewer than two classes"):
        StyleInterpreter(CHANNELS, 3).fit([], progress=False)
