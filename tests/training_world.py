"""A run that is small enough for tests, as functions and as a program: ``python training_world.py DATA OUT KIMG``."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from labelfactory.factory.stylegan2_ada.presets import Preset, Recipe
from labelfactory.factory.stylegan2_ada.snapshots import start
from labelfactory.factory.stylegan2_ada.training import StyleGAN2Trainer
from labelfactory.factory.training.dataset import ImageDataset
from labelfactory.factory.training.generator_order import SNAPSHOT
from labelfactory.factory.training.parallel import World, join, leave
from labelfactory.factory.training.run import run

NETWORK = {"z_dim": 8, "w_dim": 8, "mapping_layers": 1, "channel_base": 32, "channel_max": 8}
RECIPE = Recipe(batch=8, mbstd_group=4, learning_rate=0.002, r1_gamma=1.0, r1_interval=4, ema_kimg=0.1, ada_kimg=0.5)
ALONE = World(0, 1, torch.device("cpu"))


def blobs(folder: Path, count: int = 40, size: int = 8, channels: int = 3) -> Path:
    """Discs on dark ground."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:size, :size]
    for i in range(count):
        centre, radius = rng.uniform(size / 3, 2 * size / 3, 2), rng.uniform(size / 6, size / 3)
        disc = (y - centre[0]) ** 2 + (x - centre[1]) ** 2 < radius**2
        pixels = disc[..., None] * rng.integers(100, 256, channels) + rng.integers(0, 20, (size, size, channels))
        image = pixels.clip(0, 255).astype(np.uint8)
        Image.fromarray(image[..., 0] if channels == 1 else image).save(folder / f"{i:03}.png")
    return folder


def new_run(
    data: Path, world: World = ALONE, resume: str | None = None, micro: int = 1, **wishes: Any
) -> StyleGAN2Trainer:
    return start(ImageDataset(data), Preset(1.0, NETWORK, RECIPE), world, resume, wishes, micro)


def curve(trainer: StyleGAN2Trainer, steps: int) -> list[dict[str, float]]:
    return [{name: float(value) for name, value in trainer.train_step().items()} for _ in range(steps)]


def compiled_and_plain(data: Path) -> None:
    """Prints the losses of both kinds of steps and how many graphs were compiled; a program of its own, since shape
    checks cannot be compiled."""
    import json

    from torch._dynamo.utils import counters

    plain, fast = new_run(data, augment_p=0.3), new_run(data, augment_p=0.3)
    fast.compile("aot_eager")
    losses = [curve(plain, 5), curve(fast, 5)]
    print(json.dumps([*losses, counters["stats"]["unique_graphs"], sum(counters["graph_break"].values())]))


if __name__ == "__main__":
    torch.set_num_threads(1)
    if sys.argv[1] == "compiled":
        compiled_and_plain(Path(sys.argv[2]))
        sys.exit()
    data, out, kimg = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
    place = join("cpu")
    last = str(out / SNAPSHOT) if (out / SNAPSHOT).exists() else None
    trainer = new_run(data, place, last)
    print("started", flush=True)
    run(trainer, out, kimg, snapshot_minutes=0.0, progress=False)
    leave()
