"""Photographs labelled without a data set, by a generator that makes them again."""

from pathlib import Path

import numpy as np
import pytest
from command_line import Factory
from PIL import Image
from tiny_world import make_tiny_world

from labelfactory.factory.heads.classes import InterpreterSettings, train_interpreter
from labelfactory.factory.latents import latents
from labelfactory.interpreters.labelset import LabelSet


@pytest.mark.filterwarnings("default::UserWarning")
def test_an_interpreter_labels_what_its_generator_makes_again(
    tmp_path: Path, factory: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LABELFACTORY_CACHE", str(tmp_path / "cache"))
    world = make_tiny_world(tmp_path, samples=6)
    labels = LabelSet.load(world.labels)
    file = tmp_path / "interpreter.safetensors"
    interpreter = train_interpreter(world.generator, labels, InterpreterSettings(members=2), progress=False)
    interpreter.save(file)
    own = interpreter.predict(world.generator.generate(latents([0, 1], 8), labels.truncation).feature_maps).mask.numpy()
    (tmp_path / "photographs").mkdir()
    for sample in labels.samples[:2]:
        Image.fromarray(sample.image[..., 0]).save(tmp_path / "photographs" / f"{sample.name}.png")
    noise = np.random.default_rng(0).integers(0, 256, (16, 16), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "photographs" / "noise.png")
    call = ["predict", "--interpreter", file, "--generator", world.checkpoint, "--images", tmp_path / "photographs"]
    said = factory(*call, "--out", tmp_path / "out")
    assert said.code == 0, said.err
    assert "noise.png: the generator makes it poorly" in said.err
    for sample, known in zip(labels.samples[:2], own, strict=True):
        mask = np.array(Image.open(tmp_path / "out" / "masks" / f"{sample.name}.png"))
        assert (mask == known).mean() > 0.85
