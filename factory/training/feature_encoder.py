"""Features for judging generated images: an encoder that learns the domain by itself, or one that the user brings.

The default needs no labels and no download. It is trained to recognise an image among others after it was turned,
cropped and dimmed (SimCLR, arXiv 2002.05709): what makes images of this domain differ becomes its features.
"""

import os
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save
from torch import Tensor, nn

from labelfactory.errors import InputError
from labelfactory.factory.pixels import from_uint8
from labelfactory.factory.training.adaptive_augment import AugmentPipe, augment
from labelfactory.interpreters.array_types import Float, UInt8
from labelfactory.progress import Progress
from labelfactory.whole_files import whole_file

SIZE = 64
Images = UInt8[Tensor, "_ channels height width"]
Features = Callable[[Images], Float[Tensor, "_ features"]]


class DomainEncoder(nn.Module):
    """Four halving convolutions; the features are the means of the last two layers' maps (textures and parts)."""

    def __init__(self, channels: int, width: int = 24) -> None:
        super().__init__()
        widths = [channels, width, 2 * width, 3 * width, 4 * width]
        self.convolutions = nn.ModuleList(nn.Conv2d(a, b, 4, 2, 1) for a, b in pairwise(widths))
        self.norms = nn.ModuleList(nn.BatchNorm2d(b) for b in widths[1:])
        self.head = nn.Sequential(nn.Linear(7 * width, 4 * width), nn.ReLU(), nn.Linear(4 * width, 64))

    def forward(self, x: Float[Tensor, "images channels size size"]) -> Float[Tensor, "_ features"]:
        """Features of images in [-1, 1]."""
        means = []
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = F.leaky_relu(norm(convolution(x)), 0.1)
            means.append(x.mean(dim=(2, 3)))
        return torch.cat(means[-2:], dim=1)

    @torch.no_grad()
    def encode(self, images: Images) -> Float[Tensor, "_ features"]:
        """Features of 8-bit images of any size, in batches."""
        self.eval()
        return torch.cat([self(_prepare(part)) for part in images.split(256)])


def _prepare(images: Images) -> Float[Tensor, "images channels size size"]:
    x = from_uint8(images)
    if x.shape[-1] == SIZE:
        return x
    return F.interpolate(x, size=(SIZE, SIZE), mode="bilinear", antialias=x.shape[-1] > SIZE, align_corners=False)


def train_encoder(
    images: Images, steps: int = 400, batch: int = 64, seed: int = 0, progress: bool = False
) -> DomainEncoder:
    """A few minutes on two cores. The same images and seed give the same encoder on the same machine."""
    torch.manual_seed(seed)
    encoder = DomainEncoder(images.shape[1]).train()
    rng, pipe, batch = torch.Generator().manual_seed(seed), AugmentPipe("bgc"), min(batch, len(images))
    optimiser = torch.optim.AdamW(encoder.parameters(), lr=2e-3, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in Progress(range(steps), desc="training the encoder", disable=not progress, leave=False):
        chosen = _prepare(images[torch.randint(0, len(images), (batch,), generator=rng)])
        views = torch.cat([augment(chosen, pipe.draw(batch, 0.6, rng)) for _ in range(2)])
        projected = F.normalize(encoder.head(encoder(views)), dim=1)
        similarity = projected @ projected.T / 0.2
        similarity.fill_diagonal_(float("-inf"))
        loss = F.cross_entropy(similarity, torch.arange(2 * batch).roll(batch))  # each view's partner
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return encoder.eval()


def save_encoder(encoder: DomainEncoder, path: Path) -> None:
    with whole_file(path) as file:
        file.write(save({name: value.contiguous() for name, value in encoder.state_dict().items()}))


def load_encoder(path: str | os.PathLike[str], channels: int) -> Features:
    """An encoder of the default kind (``.safetensors``), or any TorchScript module (``.pt``).

    A TorchScript module is called with 8-bit RGB images ``[N, 3, H, W]`` (with ``return_features=True`` if it takes
    that, as the usual Inception file does) and has to return ``[N, features]``. Raises ``InputError`` for other files.
    """
    name = os.fspath(path)
    if not Path(name).is_file():
        raise InputError(f"{name}: no such file; expected an encoder as .safetensors or TorchScript .pt")
    if name.endswith(".safetensors"):
        encoder = DomainEncoder(channels)
        try:
            encoder.load_state_dict(load_file(name))
        except Exception as error:  # safetensors and torch raise different kinds
            detail = " ".join(str(error).split())[:150]
            raise InputError(f"{name}: is no domain encoder for images of {channels} channels ({detail})") from None
        return encoder.encode
    try:
        module = torch.jit.load(name, map_location="cpu").eval()
    except Exception as error:  # TorchScript raises many kinds
        raise InputError(f"{name}: is no TorchScript module ({' '.join(str(error).split())[:150]})") from None
    return _scripted(module, name)


def _scripted(module: torch.nn.Module, name: str) -> Features:
    @torch.no_grad()
    def encode(images: Images) -> Float[Tensor, "_ features"]:
        parts = []
        for part in images.split(64):
            colour = part.expand(-1, 3, -1, -1) if part.shape[1] == 1 else part
            try:
                features = module(colour, return_features=True)
            except RuntimeError:
                features = _plain_call(module, colour, name)
            if not isinstance(features, Tensor) or features.ndim != 2 or len(features) != len(part):
                raise InputError(f"{name}: expected the module to return [images, features] for 8-bit RGB images")
            parts.append(features.float())
        return torch.cat(parts)

    return encode


def _plain_call(module: torch.nn.Module, images: Tensor, name: str) -> Tensor:
    try:
        result: Tensor = module(images)
        return result
    except RuntimeError as error:
        detail = " ".join(str(error).split())[-150:]
        raise InputError(f"{name}: the module fails on 8-bit RGB images ({detail})") from None
