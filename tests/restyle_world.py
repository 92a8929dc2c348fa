"""A small world for tests of restyling: scenes, style pictures, VGG16 with weights of nobody."""

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from translation_world import write_pairs

from labelfactory.factory.restyle.encoder import Encoder
from labelfactory.factory.segmenters.backbones import initialise

SIZE = (32, 48)


def write_vgg(path: Path) -> Path:
    """A file of torchvision's names, as far as relu4_1."""
    torch.manual_seed(0)
    network = Encoder()
    initialise(network)
    save_file({k: v.half() for k, v in network.state_dict().items()}, path)
    return path


def write_styles(folder: Path, count: int = 3, grey: bool = False) -> Path:
    """Stripes of other colours, of several sizes."""
    folder.mkdir(parents=True)
    for index in range(count):
        rng = np.random.default_rng(100 + index)
        height, width = 40 + 8 * index, 56
        stripes = np.sin(np.arange(width) * (0.4 + 0.3 * index))[None, :, None] * 60
        picture = (rng.uniform(40, 215, 3) + stripes + rng.normal(0, 10, (height, width, 3))).clip(0, 255)
        pixels = picture.astype(np.uint8)
        Image.fromarray(pixels[..., 0] if grey else pixels).save(folder / f"style{index}.png")
    return folder


def write_scenes(folder: Path, count: int = 4, instances: bool = False, points: bool = False) -> Path:
    """A labelled folder of scenes; with a key point where it is asked for."""
    write_pairs(folder, count, instances, SIZE)
    if points:
        told = {"names": ["tip"], "points": {f"{i:03}.png": [[10.0 + i, 8.0, 2 if i else 0]] for i in range(count)}}
        (folder / "keypoints.json").write_text(json.dumps(told))
    return folder
