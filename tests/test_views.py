"""Views of a labelled picture: images, masks and keypoints move together, and are held out together."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import typer
from nuclei_world import NUCLEI_CLASSES
from typer.testing import CliRunner

from labelfactory.errors import InputError
from labelfactory.errors import InputError as LabelError
from labelfactory.factory.generator import ImageGenerator
from labelfactory.factory.labels.views import VIEWS, view, with_views
from labelfactory.factory.latents import latents
from labelfactory.flows.commands.invert import invert
from labelfactory.interpreters import Recipe, StyleInterpreter
from labelfactory.interpreters.labelset import LabelSet, Sample
from labelfactory.interpreters.training import split


def spotted() -> Sample:
    """A picture with one bright pixel, which is the only pixel of class 1 and the keypoint."""
    image, mask = np.zeros((8, 8, 1), np.uint8), np.zeros((8, 8), np.uint8)
    image[2, 6], mask[2, 6] = 255, 1
    return Sample("a", image, mask, 3, np.array([[6.5, 2.5, 2]], np.float32))


def test_the_keypoint_stays_on_its_pixel_in_all_eight_views() -> None:
    labels = LabelSet(NUCLEI_CLASSES, (spotted(),), "g", "0" * 64, keypoints=("spot",))
    seen = set()
    for sample in with_views(labels, "dihedral"):
        assert sample.group == "a"
        assert sample.keypoints is not None
        x, y, visibility = sample.keypoints[0]
        pixel = sample.image[int(y), int(x), 0], sample.mask[int(y), int(x)]
        assert (*pixel, visibility) == (255, 1, 2)
        seen.add((int(x), int(y)))
    assert len(seen) == 8
    assert [s.name for s in with_views(labels, "mirror")] == ["a", "a@1"]
    np.testing.assert_array_equal(view(spotted(), True, 0).mask, spotted().mask[:, ::-1])
    assert len(VIEWS["none"]) == 1


def test_what_cannot_be_turned_is_refused() -> None:
    tall = Sample("a", np.zeros((8, 4, 1), np.uint8), np.zeros((8, 4), np.uint8), 3)
    labels = LabelSet(NUCLEI_CLASSES, (tall,), "g", "0" * 64)
    assert len(with_views(labels, "mirror")) == 2
    with pytest.raises(InputError, match="square"):
        with_views(labels, "dihedral")
    with pytest.raises(InputError, match="expected one of none, mirror, dihedral"):
        with_views(labels, "turn")


def test_views_of_one_picture_are_held_out_together() -> None:
    generator = torch.Generator().manual_seed(0)
    samples = [
        ([torch.randn(4, 8, 8, generator=generator)], torch.randint(0, 2, (8, 8), generator=generator).byte())
        for _ in range(8)
    ]
    recipe = Recipe(pixels_per_image=16, max_epochs=1)
    report = StyleInterpreter([4], 2, members=4).fit(
        samples, progress=False, recipe=recipe, groups=[0, 0, 1, 1, 2, 2, 3, 3]
    )
    assert report["images"] == 4
    image = torch.tensor([0, 0, 1, 1, 2, 2, 3, 3]).repeat_interleave(16)
    for training, held in split(image, 4, generator):
        assert len(held) == 32
        assert not set(image[training].tolist()) & set(image[held].tolist())
    with pytest.raises(LabelError, match="2 groups named"):
        StyleInterpreter([4], 2, members=4).fit(samples, progress=False, recipe=recipe, groups=[0, 0])


def test_views_in_other_light() -> None:
    ramp = np.arange(0, 256, 4, dtype=np.uint8).reshape(8, 8, 1)
    samples = tuple(Sample(name, ramp, (ramp[..., 0] > 99).astype(np.uint8), 0) for name in "ab")
    labels = LabelSet(NUCLEI_CLASSES, samples, "g", "0" * 64)
    turns = with_views(labels, "dihedral", "one")
    assert len(turns) == 16
    assert np.array_equal(turns.samples[0].image, ramp)  # the picture itself stays
    assert np.array_equal(turns.samples[8].image, ramp)
    # the brightest pixel of each light: full, squared, 35 %
    assert sorted({int(s.image.max()) for s in turns}) == [88, 249, 252]
    every = with_views(labels, "none", "all")
    assert [s.name for s in every] == ["a", "a@1", "a@2", "b", "b@1", "b@2"]
    assert every.samples[1].image[4, 0, 0] == round(255 * (128 / 255) ** 2)
    assert every.samples[2].image[4, 0, 0] == round(0.35 * 128)
    assert all(np.array_equal(s.mask, samples[0].mask) for s in every)
    with pytest.raises(InputError, match="light 'dim'"):
        with_views(labels, "none", "dim")


def test_a_label_set_is_amplified_from_the_command_line(
    tiny_generator: ImageGenerator, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    image = tiny_generator.generate(latents([7], tiny_generator.latent_shape), 0.7).images[0].numpy()
    mask = (image[..., 0] > 128).astype(np.uint8)
    drawn = LabelSet(NUCLEI_CLASSES, (Sample("seed", image, mask, 7),), str(tiny_checkpoint), tiny_generator.sha256)
    blank = Sample("blank", image, np.full_like(mask, 255), 8)
    replace(drawn, samples=(*drawn.samples, blank)).save(tmp_path / "set")
    app = typer.Typer()
    app.command()(invert)
    arguments = ["--generator", tiny_checkpoint, "--images", tmp_path / "set", "--out", tmp_path / "more"]
    arguments += ["--steps", 2, "--encoder-steps", 2, "--keep-poor"]
    with pytest.raises(InputError, match="a label set already"):
        CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    result = CliRunner().invoke(app, [*map(str, arguments), "--amplify", "dihedral"], catch_exceptions=False)
    assert result.exit_code == 0
    assert "7 of 7 images" in result.output
    more = LabelSet.load(tmp_path / "more")
    assert [s.name for s in more] == ["seed"] + [f"seed@{k}" for k in range(1, 8)]
    assert more.samples[0].seed == 7
    assert all(s.latent is not None for s in more.samples[1:])
    np.testing.assert_array_equal(more.samples[4].mask, mask[:, ::-1])


def test_the_older_names_of_groups_are_understood() -> None:
    generator = torch.Generator().manual_seed(0)
    samples = [
        ([torch.randn(4, 8, 8, generator=generator)], torch.randint(0, 2, (8, 8), generator=generator).byte())
        for _ in range(4)
    ]
    reports = [
        StyleInterpreter([4], 2, members=2).fit(samples, progress=False, recipe=Recipe(max_epochs=2), **named)
        for named in ({"pictures": [0, 0, 1, 1]}, {"groups": [0, 0, 1, 1]}, {})
    ]
    assert reports[0]["held_out_loss"] == reports[1]["held_out_loss"] != reports[2]["held_out_loss"]
    assert spotted()._replace(name="a@3").picture == "a"
