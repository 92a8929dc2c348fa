"""A whole factory in miniature: a 16 px generator of random weights and a label set of its images, made in a second."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from labelfactory.factory.families import open_generator
from labelfactory.factory.generator import ImageGenerator
from labelfactory.factory.latents import latents
from labelfactory.factory.stylegan2_ada.checkpoint import save_safetensors
from labelfactory.factory.stylegan2_ada.networks import Generator
from labelfactory.interpreters.classes import LabelClass
from labelfactory.interpreters.labelset import LabelSet, Sample

CLASSES = (LabelClass("background", (0, 0, 0)), LabelClass("bright", (230, 159, 0)))


class TinyWorld(NamedTuple):
    checkpoint: Path
    labels: Path
    generator: ImageGenerator


def make_tiny_world(folder: Path, samples: int = 4, seed: int = 0, pixels: int = 16) -> TinyWorld:
    """Pixels brighter than their image's median are the class "bright": a rule that an interpreter can learn."""
    torch.manual_seed(seed)
    network = Generator(
        z_dim=8,
        c_dim=0,
        w_dim=8,
        img_resolution=pixels,
        img_channels=1,
        mapping_layers=2,
        channel_base=max(128, pixels),
        channel_max=16,
    )
    checkpoint = folder / "tiny.safetensors"
    save_safetensors(checkpoint, network.eval(), metadata={"licence": "CC0-1.0"})
    generator = open_generator(str(checkpoint), "cpu")
    images = generator.generate(latents(range(samples), 8), truncation=0.7).images.numpy()
    masks = (images[..., 0] > np.median(images, axis=(1, 2, 3))[:, None, None]).astype(np.uint8)
    labels = LabelSet(
        classes=CLASSES,
        samples=tuple(Sample(f"{i:04d}", images[i], masks[i], i) for i in range(samples)),
        generator_uri=str(checkpoint),
        generator_sha256=generator.sha256,
        truncation=0.7,
    )
    labels.save(folder / "labels")
    return TinyWorld(checkpoint, folder / "labels", generator)
