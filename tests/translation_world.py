"""A small world for tests of translation: pictures of discs and squares whose colours say what they are."""

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from labelfactory.factory.translation.condition import channels_of, condition_of
from labelfactory.factory.translation.method import Batch, Method

CLASSES = [
    {"name": "ground", "color": [0, 0, 0], "thing": False},
    {"name": "disc", "color": [255, 0, 0], "thing": True},
    {"name": "square", "color": [0, 0, 255], "thing": True},
]
COLORS = np.array([[60, 120, 60], [220, 160, 40], [80, 80, 220]], np.float64)


def scene(seed: int, height: int = 24, width: int = 32) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Picture, mask and object numbers."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    mask, instances = np.zeros((height, width), np.uint8), np.zeros((height, width), np.uint8)
    for number in range(1, 4):
        cy, cx, r = rng.uniform(4, height - 4), rng.uniform(4, width - 4), rng.uniform(3, 6)
        kind = 1 + number % 2
        inside = (y - cy) ** 2 + (x - cx) ** 2 < r**2 if kind == 1 else np.maximum(abs(y - cy), abs(x - cx)) < r * 0.8
        mask[inside], instances[inside] = kind, number
    picture = COLORS[mask] + rng.normal(0, 6, (height, width, 3))
    return picture.clip(0, 255).astype(np.uint8), mask, instances


def write_pairs(folder: Path, count: int = 8, instances: bool = False, size: tuple[int, int] = (24, 32)) -> Path:
    """A labelled folder of scenes; its path."""
    kinds = ["images", "masks", *(["instances"] if instances else [])]
    for kind in kinds:
        (folder / kind).mkdir(parents=True)
    for index in range(count):
        for kind, array in zip(("images", "masks", "instances"), scene(index, *size), strict=True):
            if kind in kinds:
                Image.fromarray(array).save(folder / kind / f"{index:03}.png")
    (folder / "classes.json").write_text(json.dumps(CLASSES))
    return folder


def batch_of(count: int = 2, height: int = 24, width: int = 32) -> Batch:
    """Conditions, pictures and masks of scenes."""
    scenes = [scene(i, height, width) for i in range(count)]
    masks = torch.from_numpy(np.stack([s[1] for s in scenes])).long()
    pictures = torch.from_numpy(np.stack([s[0] for s in scenes])).permute(0, 3, 1, 2).float() / 127.5 - 1
    return Batch(condition_of(masks, len(CLASSES)), pictures, masks)


SOURCE = channels_of(len(CLASSES), edges=False)


def falls(method: Method, batch: Batch, steps: int = 12, rate: float = 2e-3) -> tuple[float, float]:
    """The makers' loss before and after some steps of them alone, against judges that do not move."""
    optimiser = torch.optim.Adam(method.makers.parameters(), lr=rate)
    method.makers.train()
    method.judges.requires_grad_(False)
    losses = []
    for _ in range(steps):
        loss, _, _ = method.generator_loss(batch, torch.Generator().manual_seed(0))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    return losses[0], losses[-1]


def judged_better(method: Method, batch: Batch, steps: int = 12) -> tuple[float, float]:
    """The judges' loss before and after some steps of them alone, of what the makers make now."""
    optimiser = torch.optim.Adam(method.judges.parameters(), lr=2e-3)
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        _, _, made = method.generator_loss(batch, rng)
    method.judges.requires_grad_(True)
    losses = []
    for _ in range(steps):
        loss = method.discriminator_loss(batch, made, rng)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    return losses[0], losses[-1]


def parameters(network: torch.nn.Module) -> float:
    """Millions of parameters."""
    return sum(p.numel() for p in network.parameters()) / 1e6
