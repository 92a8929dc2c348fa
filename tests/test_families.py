"""Every family goes the whole way unchanged: images to label, a labelling session, an interpreter, pairs, a check of
them. What a family cannot do ends in one line."""

from collections.abc import Callable
from dataclasses import replace
from multiprocessing import Pipe
from pathlib import Path

import numpy as np
import pytest
from command_line import Factory
from PIL import Image
from test_diffusion import save_model
from test_discriminator import as_discriminator
from test_stylegan1 import tensorflow_file
from test_stylegan3 import Golden

from labelfactory.factory.families import FAMILIES, open_generator
from labelfactory.factory.labels.learning import Learner
from labelfactory.factory.labels.photographs import Photographs, invert_photographs
from labelfactory.factory.labels.session import LabelSession
from labelfactory.factory.labels.strokes import Event
from labelfactory.factory.wrapped.family import TRUSTED, wrap
from labelfactory.factory.wrapped.order import WrapOrder
from labelfactory.interpreters.labelset import LabelSet

MODULE = """
from torch import nn, manual_seed
def small():
    manual_seed(0)
    return nn.Sequential(nn.ConvTranspose2d(8, 16, 4), nn.ReLU(), nn.Upsample(scale_factor=4), nn.Conv2d(16, 12, 3,
        padding=1), nn.ReLU(), nn.Conv2d(12, 1, 3, padding=1), nn.Tanh())
"""


def stylegan3(path: Path) -> Path:
    path.write_bytes(Golden("t").pickle())
    return path


def wrapped(path: Path) -> Path:
    (path.parent / "small_gan.py").write_text(MODULE)
    wrap(WrapOrder("small_gan:small", 8, path))
    return path


@pytest.fixture(params=sorted(FAMILIES))
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def generator(family: str, tmp_path: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny generator's file."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv(TRUSTED, "small_gan")
    monkeypatch.setattr("labelfactory.factory.diffusion.family.STEPS", 2)
    if family == "diffusion":
        pytest.importorskip("diffusers")
    makers: dict[str, Callable[[Path], Path]] = {
        "stylegan2": lambda _: tiny_checkpoint,
        "stylegan": lambda path: tensorflow_file(path, channels=(8, 8, 6)),
        "stylegan3": stylegan3,
        "wrapped": wrapped,
        "diffusion": save_model,
        "discriminator": lambda path: as_discriminator(tiny_checkpoint, path),
    }
    return makers[family](tmp_path / "model")


def draw(folder: Path) -> LabelSet:
    """Whoever labels takes what is brighter than the middle."""
    labels = LabelSet.load(folder)
    middle = np.median(np.stack([s.image for s in labels]))
    masks = [(s.image[..., 0] > middle).astype(np.uint8) for s in labels]
    drawn = replace(labels, samples=tuple(s._replace(mask=m) for s, m in zip(labels, masks, strict=True)))
    drawn.save(folder, overwrite=True)
    return drawn


def test_the_whole_way(family: str, generator: Path, tmp_path: Path, factory: Factory) -> None:
    opened = open_generator(generator, "cpu")
    labels, pairs = tmp_path / "labels", tmp_path / "pairs.zarr"
    ways = [
        ["sample", "--classes", "dark,bright", "--count", 4, "--candidates", 8, "--out", labels],
        ["train-interpreter", "--labels", labels, "--members", 2, "--out", tmp_path / "i.safetensors"],
        ["generate", "--interpreter", tmp_path / "i.safetensors", "--count", 6, "--shard-size", 4, "--out", pairs],
    ]
    for words in ways:
        done = factory(*words, "--generator", generator)
        assert done.code == 0, (words, done.err)
        if words[0] == "sample":
            with LabelSession(labels) as session:
                session.add(Event(session.names[0], "brush", value=1, points=((4.0, 4.0),), size=2.0))
                assert (session.canvas(session.names[0]).mask == 1).any()
                assert session.size == opened.size
            draw(labels)
    done = factory("verify", pairs)
    assert (done.code, "6" in done.out) == (0, True), done.err


def test_what_a_family_cannot_do_ends_in_one_line(
    family: str, generator: Path, tmp_path: Path, factory: Factory
) -> None:
    opened = open_generator(generator, "cpu")
    call = ["sample", "--generator", generator, "--classes", "a,b", "--count", 2, "--candidates", 4]
    done = factory(*call, "--truncation", 0.5, "--out", tmp_path / "cut")
    cannot = opened.default_truncation is None
    assert done.code == (2 if cannot else 0), done.err
    assert not cannot or "this kind of generator has none; leave it out, or give 1" in done.err
    (tmp_path / "photos").mkdir()
    for i in range(3):
        noise = np.random.default_rng(i).integers(0, 256, (*opened.size, opened.image_channels), np.uint8)
        Image.fromarray(noise.squeeze()).save(tmp_path / "photos" / f"{i}.png")
    call = ["invert", "--generator", generator, "--images", tmp_path / "photos", "--classes", "a,b"]
    call += ["--steps", 1, "--encoder-steps", 0, "--keep-poor"]
    done = factory(*call, "--out", tmp_path / "inverted")
    if family == "wrapped":
        assert done.code == 2
        assert "cannot invert real images" in done.err
    else:
        assert done.code == 0, done.err
        assert ("nothing is inverted" in done.out) == (family in ("diffusion", "discriminator"))
    assert done.err.count("\n") <= 1 + (family == "stylegan")


def test_photographs_join_a_labelling_session_as_they_are_where_the_family_looks_at_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, factory: Factory
) -> None:
    """Drawn on generated images and on photographs alike; both get proposals."""
    pytest.importorskip("diffusers")
    model, photos, labels = save_model(tmp_path / "model"), tmp_path / "photos", tmp_path / "labels"
    photos.mkdir()
    for i in range(2):
        Image.fromarray(np.full((16, 16), 60 * i + 40, np.uint8)).save(photos / f"p{i}.png")
    call = ["sample", "--generator", model, "--classes", "dark,bright", "--count", 2, "--candidates", 3]
    done = factory(*call, "--out", labels)
    assert done.code == 0, done.err
    draw(labels)
    ours, theirs = Pipe()
    invert_photographs(theirs, photos, LabelSet.load(labels), [], str(model), "cpu")
    ready = ours.recv()
    assert isinstance(ready, Photographs)
    assert ([s.name for s in ready.samples], [s.origin for s in ready.samples]) == (["p0", "p1"], [None, None])
    with LabelSession(labels) as session:
        session.extend(ready.samples, ready.fidelities)
        whole = session.current()
    learner = Learner.begin(open_generator(model, "cpu"), whole, None)
    learner.learn(0, whole.samples[0].mask)
    learner.learn(2, np.ones((16, 16), np.uint8))
    learner.train(seconds=0.05, most=5)
    assert [learner.propose(index).mask.shape for index in range(4)] == [(16, 16)] * 4
