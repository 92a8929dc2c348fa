"""A small network from image to latent, trained on the generator's own pairs: where inversion starts from."""

import math
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, mse_loss

from labelfactory.errors import InputError
from labelfactory.factory.cache import kept_in
from labelfactory.factory.generator import Invertible
from labelfactory.interpreters.array_types import Float
from labelfactory.progress import Progress
from labelfactory.tensor_file import TensorFile

FILE = TensorFile("encoder", "encoder", "remove it, a new one is trained")
WIDTHS = (32, 64, 96, 128, 128, 128, 128, 128, 128)  # channels after each halving


class LatentEncoder(nn.Module):
    """Image in [-1, 1] -> standardised w: convolutions of stride 2 down to 4 x 4, and one linear layer.

    One w for all layers, because the pairs that it learns from have one.
    """

    def __init__(self, resolution: int, channels: int, w_dim: int) -> None:
        super().__init__()
        halvings = max(1, round(math.log2(resolution)) - 2)
        widths = [channels, *WIDTHS[:halvings]]
        self.config = {"resolution": resolution, "channels": channels, "w_dim": w_dim}
        self.convolutions = nn.ModuleList(nn.Conv2d(a, b, 5, stride=2, padding=2) for a, b in pairwise(widths))
        self.norms = nn.ModuleList(nn.GroupNorm(8, width) for width in widths[1:])
        self.head = nn.Linear(widths[-1] * 16, w_dim)

    def forward(self, image: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch w_dim"]:
        x = image
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = leaky_relu(norm(convolution(x)), 0.2)
        return self.head(x.flatten(1))


def train_encoder(
    generator: Invertible, steps: int = 400, batch: int = 32, seed: int = 0, progress: bool = True
) -> LatentEncoder:
    """Regress w from generated images. Noise and changes of brightness keep it usable on photographs.

    steps: each sees ``batch`` new images, so the cost is about that of generating them.
    """
    if steps < 1 or batch < 1:
        raise InputError(f"encoder: {steps} steps of {batch} images; expected 1 or more of each")
    torch.manual_seed(seed)
    encoder = LatentEncoder(generator.resolution, generator.image_channels, generator.style_shape[1]).to(
        generator.device
    )
    mean, std = (s.clone() for s in generator.mean_latent())
    optimizer = torch.optim.AdamW(encoder.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    rng, classes = torch.Generator().manual_seed(seed), generator.random_classes(batch)
    with Progress(total=steps, desc="encoder", unit="step", disable=not progress, leave=False) as bar:
        for _ in range(steps):
            z = torch.randn(batch, *generator.latent_shape, generator=rng).to(generator.device)
            with torch.no_grad():
                ws = generator.styles(z, float(torch.empty(()).uniform_(0.6, 1.0, generator=rng)), classes)
                image = generator.synthesise(ws).clamp(-1, 1)
                target = (ws[:, 0] - mean) / std
                gain = torch.empty(batch, 1, 1, 1).uniform_(0.85, 1.15, generator=rng).to(image.device)
                noise = torch.randn(image.shape, generator=rng).to(image.device) * 0.05
                image = ((image + 1) * gain - 1 + noise).clamp(-1, 1)
            loss = mse_loss(encoder(image), target)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            bar.update()
            bar.set_postfix(unexplained=f"{loss.item():.3f}")
    return encoder.eval().requires_grad_(False)


def ensure_encoder(generator: Invertible, cache: Path, steps: int = 400, progress: bool = True) -> LatentEncoder:
    """The generator's encoder from ``cache``, trained and kept there where it is missing or damaged."""
    of = "-".join(["", *map(str, generator.conditions)]) if len(generator.conditions) < generator.num_classes else ""
    path = cache / "encoders" / f"{generator.sha256[:32]}-{steps}{of[:100]}.safetensors"
    if path.is_file():
        try:
            return load_encoder(path).to(generator.device)
        except InputError:
            path.unlink()
    kept_in("encoders", cache)  # before the minutes of training
    encoder = train_encoder(generator, steps, progress=progress)
    save_encoder(encoder, path)
    return encoder


def save_encoder(encoder: LatentEncoder, path: Path) -> None:
    """One safetensors file, whole or not at all."""
    FILE.save(path, FILE.pack(encoder.state_dict(), encoder.config))


def load_encoder(path: Path) -> LatentEncoder:
    """InputError for a file that ``save_encoder`` did not write."""
    config, tensors = FILE.unpack(FILE.read(path), str(path))
    if sorted(config) != ["channels", "resolution", "w_dim"] or not all(
        type(n) is int and 1 <= n <= 2**16 for n in config.values()
    ):
        raise InputError(f"{path}: its header is damaged ({config}); {FILE.remedy}")
    with torch.device("meta"):
        encoder = LatentEncoder(**config)
    FILE.fill(encoder, tensors, str(path))
    return encoder.eval().requires_grad_(False)
