"""Masks that were drawn too wide or too narrow are found by what the others' interpreters say, and moved."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from labelfactory.errors import InputError
from labelfactory.factory.families import open_generator
from labelfactory.factory.heads.classes import InterpreterSettings
from labelfactory.factory.heads.consistent_masks import SURE, Offset, _best, consistent_masks, moved
from labelfactory.factory.heads.making import make_interpreter
from labelfactory.factory.heads.order import Ensemble, InterpreterOrder
from labelfactory.factory.latents import latents
from labelfactory.interpreters import Recipe, StyleInterpreter
from labelfactory.interpreters.classes import LabelClass
from labelfactory.interpreters.labelset import LabelSet, Sample

FAST = InterpreterSettings(members=2, recipe=Recipe(max_epochs=8, pixels_per_image=512))
CLASSES = (LabelClass("background", (0, 0, 0)), LabelClass("bright", (230, 159, 0)))
COUNT = 6


@pytest.fixture(scope="module")
def generator():
    return open_generator("builtin:nuclei64", "cpu")


@pytest.fixture(scope="module")
def labels(generator):
    """Images of the bundled generator, and masks by one rule: where it is bright around a pixel."""
    images = generator.generate(latents(range(COUNT), generator.latent_shape), truncation=0.7).images.numpy()
    masks = (ndimage.gaussian_filter(images[..., 0].astype(float), (0, 1.5, 1.5)) > 90).astype(np.uint8)
    samples = tuple(Sample(f"{i:04d}", images[i], masks[i], i) for i in range(COUNT))
    return LabelSet(CLASSES, samples, "builtin:nuclei64", generator.sha256, 0.7)


def drawn(labels, offsets):
    """The same masks as people would have drawn them whose outlines lie that many pixels outwards."""
    samples = zip(labels.samples, offsets, strict=True)
    return replace(labels, samples=tuple(s._replace(mask=moved(s.mask, d, [1])) for s, d in samples))


def error(some, true):
    return np.mean([(a.mask != b.mask).mean() for a, b in zip(some, true, strict=True)])


def test_planted_offsets_are_found_and_undone(generator, labels):
    """Two pixels outwards and two inwards; an interpreter of few steps may err by one."""
    wrong = drawn(labels, (0, 2, 0, -2, 0, 0))
    found, told = consistent_masks(generator, wrong, FAST, progress=False)
    pixels = [offset.pixels for offset in told.values()]
    assert pixels[1] <= -1
    assert pixels[3] >= 1
    assert all(abs(pixels[i]) <= 1 for i in (0, 2, 4, 5))
    assert abs(sum(pixels)) <= 2  # on the average nothing is moved
    for name in ("0001", "0003"):
        assert told[name].after > told[name].before
    assert error([found.samples[i] for i in (1, 3)], [labels.samples[i] for i in (1, 3)]) < 0.6 * error(
        [wrong.samples[i] for i in (1, 3)], [labels.samples[i] for i in (1, 3)]
    )


def test_views_of_a_picture_are_moved_together(generator, labels):
    names = ("a", "a@1", "b", "b@1", "c", "d")
    views = drawn(labels, (2, 2, 0, 0, 0, 0))
    views = replace(views, samples=tuple(s._replace(name=n) for s, n in zip(views.samples, names, strict=True)))
    found, told = consistent_masks(generator, views, FAST, progress=False)
    assert list(told) == ["a", "b", "c", "d"]
    assert told["a"].pixels <= -1
    assert told["a"].pixels < min(told[name].pixels for name in "bcd")
    for old, new in zip(views, found, strict=True):
        assert np.array_equal(new.mask, moved(old.mask, told[new.group].pixels, [1]))


def test_the_command_says_a_line_an_image(generator, labels, tmp_path, monkeypatch):
    monkeypatch.setattr("labelfactory.factory.heads.consistent_masks.ROUNDS", 1)
    few = replace(labels, samples=labels.samples[:3])
    drawn(few, (0, 2, 0)).save(tmp_path / "labels")
    order = InterpreterOrder(
        tmp_path / "i.safetensors",
        "builtin:nuclei64",
        str(tmp_path / "labels"),
        consistent_masks=True,
        ensemble=Ensemble(members=1),
        device="cpu",
    )
    lines = make_interpreter(order, progress=False).lines
    assert len(lines) == 4
    assert lines[2].startswith("0001: outlines moved in by ")
    assert StyleInterpreter.load(order.out).num_classes == 2


def test_where_nothing_can_be_compared_it_is_refused(generator, labels):
    one = replace(labels, samples=labels.samples[:1])
    with pytest.raises(InputError, match="in 2 pictures or more: 1 labelled pictures, 1 classes that are things"):
        consistent_masks(generator, one, FAST, progress=False)
    with pytest.raises(InputError, match="leave features and values out"):
        InterpreterOrder(Path("i.safetensors"), "g", "l", values=True, consistent_masks=True)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 999), pixels=st.integers(-2, 2))
def test_outlines_move_by_pixels_and_nothing_else_does(seed, pixels):
    rng = np.random.default_rng(seed)
    mask = (ndimage.gaussian_filter(rng.normal(size=(24, 30)), 3) > 0.02).astype(np.uint8)
    mask *= rng.integers(1, 3, mask.shape, dtype=np.uint8)  # two kinds of things
    mask[rng.random(mask.shape) < 0.05] = 255
    out = moved(mask, pixels, [1, 2])
    things, ground = np.isin(mask, [1, 2]), mask == 0
    assert np.array_equal(out == 255, mask == 255)
    if pixels >= 0:
        assert np.array_equal(out[things], mask[things])
    if pixels <= 0:
        assert np.array_equal(out[ground], mask[ground])
    if things.any() and ground.any() and pixels:
        near = ndimage.distance_transform_edt(~things if pixels > 0 else ~ground) <= abs(pixels)
        changed = out != mask
        assert np.array_equal(changed, near & (ground if pixels > 0 else things))


def test_what_cannot_move_stays_and_lines_say_what_was_done():
    full, empty = np.ones((4, 4), np.uint8), np.zeros((4, 4), np.uint8)
    for mask in (full, empty):
        assert np.array_equal(moved(mask, 2, [1]), mask)
    assert Offset(-2, 0.9, 0.95).line("a") == (
        "a: outlines moved in by 2 px, 90.0% of the pixels along them as the others have it, then 95.0%"
    )
    assert Offset(0, 0.9, 0.9).line("a") == "a: outlines as drawn, 90.0% of the pixels along them as the others have it"


def test_the_best_offset_lies_between_pixels_and_is_none_where_nobody_knows():
    shares = {d: 0.95 - 0.02 * (d - 0.4) ** 2 for d in range(-3, 4)}
    assert _best(shares) == pytest.approx(0.4)
    assert _best({d: share - 0.95 + SURE - 0.1 for d, share in shares.items()}) == 0
    assert _best({d: 0.8 + 0.02 * d for d in range(-3, 4)}) == 3
    assert _best(dict.fromkeys(range(-3, 4), 0.9)) == 0
