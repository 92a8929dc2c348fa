"""What only a GPU shows: the same answers as the definitions, and nothing that waits. ``LABELFACTORY_DEVICE=cpu`` runs
the same on the CPU.
"""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from interpreter_world import scene
from tiny_world import TinyWorld
from training_world import blobs, curve, new_run

from labelfactory.factory import live
from labelfactory.factory.families import open_generator
from labelfactory.factory.heads.classes import InterpreterSettings, train_interpreter
from labelfactory.factory.labels.feature_maps import load_labels
from labelfactory.factory.latents import latents
from labelfactory.factory.training.parallel import World
from labelfactory.interpreters import Recipe, StyleInterpreter

DEVICE = os.environ.get("LABELFACTORY_DEVICE", "cuda")
pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(DEVICE == "cuda" and not torch.cuda.is_available(), reason="needs a CUDA device"),
]
SIZES, CHANNELS = (4, 8, 16, 32), (24, 24, 16, 8)


@pytest.mark.parametrize("precision", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("classes", [3, 20, 34])
def test_labels_equal_the_definition(precision: str, classes: int) -> None:
    model = StyleInterpreter(CHANNELS, classes, members=4, directions=16)
    model.fit([scene(i, SIZES, CHANNELS) for i in range(4)], progress=False, recipe=Recipe(max_epochs=2))
    model.to(DEVICE)
    maps = [m.to(DEVICE) for m in scene(50, SIZES, CHANNELS)[0]]
    plain, fast = model.predict_reference(maps), model.predict(maps, precision=precision)
    close = precision == "float32"
    assert (fast.mask == plain.mask).float().mean() >= (1.0 if close else 0.98)
    assert (fast.uncertainty.float() - plain.uncertainty.float()).abs().max() < (2e-3 if close else 5e-2)


def test_a_generator_makes_the_cpu_s_pictures(tiny_world: TinyWorld) -> None:
    given = {"latent": latents(range(8), 8), "truncation": 0.7}
    here, there = (open_generator(tiny_world.checkpoint, device) for device in ("cpu", DEVICE))
    mine, theirs = here.generate(**given), there.replayed().generate(**given)
    assert (mine.images.int() - theirs.images.cpu().int()).abs().max() <= 2
    for a, b in zip(mine.feature_maps, theirs.feature_maps, strict=True):
        torch.testing.assert_close(a, b.cpu().float(), rtol=1e-2, atol=1e-2)


def test_live_pairs_are_the_same_twice_and_whoever_asks(tiny_world: TinyWorld) -> None:
    settings = InterpreterSettings(members=2, recipe=Recipe(max_epochs=2))
    generator = open_generator(tiny_world.checkpoint, DEVICE)
    interpreter = train_interpreter(generator, load_labels(tiny_world.labels), settings, progress=False)

    def pairs(**options: int) -> list[bytes]:
        stream = live(generator, interpreter, count=128, batch_size=16, fields=("image", "mask", "seed"), **options)
        return [one[name].contiguous().numpy().tobytes() for one in stream for name in ("seed", "image", "mask")]

    whole = pairs()
    assert whole == pairs()
    first, second = (pairs(rank=rank, ranks=2) for rank in (0, 1))
    assert whole == [part for i in range(0, len(first), 3) for part in (*first[i : i + 3], *second[i : i + 3])]


def test_both_networks_learn(tmp_path: Path) -> None:
    trainer = new_run(blobs(tmp_path / "blobs"), World(0, 1, torch.device(DEVICE)))
    before = [p.detach().clone() for p in trainer.generator.parameters()]
    losses = curve(trainer, 5)  # the lazy steps come every fourth
    after = list(trainer.generator.parameters())
    assert all(np.isfinite(list(row.values())).all() for row in losses)
    assert all(p.isfinite().all() for p in after)
    assert any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))
