"""Real images and their masks become a label set; poor reconstructions stay out; interruptions cost little."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import typer
from nuclei_world import NUCLEI_CLASSES
from PIL import Image
from typer.testing import CliRunner

import labelfactory.factory.labels.real_images
from labelfactory.errors import InputError
from labelfactory.factory.generator import ImageGenerator
from labelfactory.factory.labels.classes import classes_of
from labelfactory.factory.labels.order import InversionOrder, InversionSettings
from labelfactory.factory.labels.real_images import invert_images, invert_label_set, read_images, unlabelled
from labelfactory.factory.latents import latents
from labelfactory.flows.commands.invert import invert
from labelfactory.interpreters.labelset import LabelSet


@pytest.fixture
def pictures(tiny_generator: ImageGenerator, tmp_path: Path) -> Path:
    """Three pictures of the generator's kind and one that is not, with masks."""
    images = tiny_generator.generate(latents([1, 2, 3], tiny_generator.latent_shape), 1.0).images.numpy()
    y, x = np.indices((16, 16))
    images = [*images, np.where((x + y) % 2, 255, 0).astype(np.uint8)[..., None]]
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for i, image in enumerate(images):
        Image.fromarray(image[..., 0]).save(tmp_path / "images" / f"cell{i}.png")
        Image.fromarray((image[..., 0] > 128).astype(np.uint8)).save(tmp_path / "masks" / f"cell{i}.png")
    return tmp_path


def test_command_makes_a_label_set_and_leaves_poor_ones_out(pictures: Path, tiny_checkpoint: Path) -> None:
    app = typer.Typer()
    app.command()(invert)
    arguments = [
        "--generator", tiny_checkpoint, "--images", pictures / "images", "--masks", pictures / "masks", "--out",
        pictures / "set", "--classes", "dark,bright", "--steps", 80, "--encoder-steps", 5, "--min-fidelity", 0.5,
    ]  # fmt: skip
    result = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0
    assert "3 of 4 images" in result.output
    assert "1 below 0.5 left out: cell3" in result.output
    labels = LabelSet.load(pictures / "set")
    assert [s.name for s in labels] == ["cell0", "cell1", "cell2"]
    assert all(s.latent is not None and s.labelled for s in labels)
    np.testing.assert_array_equal(labels.samples[0].mask, labels.samples[0].image[..., 0] > 128)
    fared = json.loads((pictures / "set" / "inversion.json").read_text())
    assert [f["kept"] for f in fared] == [True, True, True, False]
    assert (pictures / "set" / "reconstructions.png").is_file()
    assert not list(pictures.glob(".set*"))


def test_after_an_interruption_finished_latents_are_not_made_again(
    pictures: Path, tiny_generator: ImageGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = unlabelled(tiny_generator, "g", *read_images(pictures / "images", tiny_generator), NUCLEI_CLASSES, 0.7)
    settings = InversionSettings(steps=3, batch=2)
    real, seen = labelfactory.factory.labels.real_images.invert, []

    def interrupted(generator: ImageGenerator, images: np.ndarray, *args: object, **kwargs: object) -> object:
        if len(seen) == 1:
            raise KeyboardInterrupt
        seen.append(len(images))
        return real(generator, images, *args, **kwargs)

    monkeypatch.setattr(labelfactory.factory.labels.real_images, "invert", interrupted)
    with pytest.raises(KeyboardInterrupt):
        invert_label_set(tiny_generator, labels, pictures / "scratch", None, settings, progress=False)
    seen.clear()
    result, fared, _ = invert_label_set(
        tiny_generator, labels, pictures / "scratch", None, settings, keep_poor=True, progress=False
    )
    assert seen == [2]
    assert len(result) == len(fared) == 4
    monkeypatch.undo()
    whole, _, _ = invert_label_set(
        tiny_generator, labels, pictures / "other", None, settings, keep_poor=True, progress=False
    )
    assert whole.content_sha256 == result.content_sha256


def test_pictures_that_do_not_fit(pictures: Path, tiny_generator: ImageGenerator) -> None:
    with pytest.raises(InputError, match="no such folder"):
        read_images(pictures / "nowhere", tiny_generator)
    (pictures / "empty").mkdir()
    with pytest.raises(InputError, match="has no pictures"):
        read_images(pictures / "empty", tiny_generator)
    colour = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(colour).save(pictures / "images" / "colour.png")
    names, images = read_images(pictures / "images", tiny_generator)
    assert images.shape == (5, 16, 16, 1)
    np.testing.assert_array_equal(images[names.index("colour")][..., 0], Image.fromarray(colour).convert("L"))
    Image.fromarray(np.zeros((16, 20), np.uint8)).save(pictures / "images" / "wide.png")
    with pytest.raises(InputError, match=r"wide\.png: is 20 x 16; the generator makes 16 x 16"):
        read_images(pictures / "images", tiny_generator)


def test_classes_come_from_a_person_or_from_the_bundled_generators_own_set(
    pictures: Path, tiny_checkpoint: Path
) -> None:
    stranger = InversionOrder(str(tiny_checkpoint), pictures / "images", pictures / "set", encoder_steps=0)
    with pytest.raises(InputError, match="classes: name what you will label"):
        invert_images(stranger, progress=False)
    assert not (pictures / "set").exists()
    assert [c.name for c in classes_of("", "builtin:nuclei64")] == ["background", "nucleus", "neighbour"]
    assert [c.name for c in classes_of(" dark, bright ", "builtin:nuclei64")] == ["dark", "bright"]
    with pytest.raises(InputError, match="'dark' is listed 2 times"):
        classes_of("dark,dark", "anywhere.pkl")


def test_what_is_not_ours_in_the_folder_of_latents_stays(pictures: Path, tiny_checkpoint: Path) -> None:
    settings = InversionSettings(steps=0)
    order = InversionOrder(
        str(tiny_checkpoint), pictures / "images", pictures / "set", classes="a,b", encoder_steps=0, settings=settings
    )
    order.scratch.mkdir()
    (order.scratch / "notes.txt").write_text("a stranger's")
    told: list[str] = []
    invert_images(replace(order, min_fidelity=-9.0), told.append, progress=False)
    assert [path.name for path in order.scratch.iterdir()] == ["notes.txt"]
    assert told[-1].endswith("reconstructions.png: look at them")
