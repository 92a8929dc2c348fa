"""From a real image to the latent that explains it, so that people's labels of real images teach an interpreter.

W+ optimisation (Abdal et al., Image2StyleGAN, arXiv 1904.03189) from an encoder's guess; labels then travel through the
latent as in HandsOff (arXiv 2212.12645). No network is downloaded: likeness is measured in pixels at several scales and
in the features of the generator's own discriminator.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from labelfactory.errors import InputError
from labelfactory.factory.generator import Invertible
from labelfactory.factory.labels.encoder import LatentEncoder
from labelfactory.factory.labels.order import InversionSettings
from labelfactory.factory.pixels import to_float
from labelfactory.interpreters.array_types import Float, UInt8
from labelfactory.progress import Progress


@dataclass(frozen=True)
class Inversion:
    """Latents of a batch and how well they explain the images.

    ws              W+ latents, as ``ImageGenerator.generate`` takes them
    reconstruction  what the generator makes of them
    fidelity        share of each image's variance that the reconstruction explains; 1 is perfect, 0 no better than grey
    psnr            peak signal-to-noise ratio, dB
    steps           taken for each image
    """

    ws: Float[np.ndarray, "batch num_ws w_dim"]
    reconstruction: UInt8[np.ndarray, "batch height width channels"]
    fidelity: Float[np.ndarray, "batch"]
    psnr: Float[np.ndarray, "batch"]
    steps: np.ndarray


def pixel_distance(
    a: Float[Tensor, "batch channels height width"], b: Float[Tensor, "batch channels height width"]
) -> Float[Tensor, "batch"]:
    """Mean squared difference, averaged over the image and its halvings down to 8 x 8 (or its own size if smaller)."""
    scales = []
    while True:
        scales.append((a - b).square().mean((1, 2, 3)))
        if min(a.shape[2:]) < 16:
            return torch.stack(scales).mean(0)
        a, b = avg_pool2d(a, 2), avg_pool2d(b, 2)


class Frame:
    """Where images of a crop lie in the generator's picture. Around them is the generator's average picture.

    The same on both sides of every comparison, so that only the crop's pixels count. Without a crop nothing changes.
    """

    def __init__(self, generator: Invertible, mean: Float[Tensor, "w_dim"]) -> None:
        self.crop = generator.crop
        if self.crop is not None:
            with torch.no_grad():
                self.around = generator.synthesise(mean.expand(1, generator.style_shape[0], -1)).clamp(-1, 1)

    def cut(self, pictures: Float[Tensor, "batch channels _ _"]) -> Float[Tensor, "batch channels _ _"]:
        return pictures if self.crop is None else pictures[(..., *self.crop.slices)]

    def put(self, images: Float[Tensor, "batch channels _ _"]) -> Float[Tensor, "batch channels _ _"]:
        """The images inside whole pictures."""
        if self.crop is None:
            return images
        out = self.around.repeat(len(images), 1, 1, 1)
        out[(..., *self.crop.slices)] = images
        return out


def feature_distance(a: list[Tensor], b: list[Tensor]) -> Float[Tensor, "batch"]:
    """Squared difference of feature maps in units of ``b``'s mean square, averaged over the maps."""
    terms = [(x - y).square().mean((1, 2, 3)) / (y.square().mean((1, 2, 3)) + 1e-8) for x, y in zip(a, b, strict=True)]
    return torch.stack(terms).mean(0)


def invert(
    generator: Invertible,
    images: UInt8[np.ndarray, "batch height width channels"],
    encoder: LatentEncoder | None = None,
    settings: InversionSettings | None = None,
    progress: bool = True,
) -> Inversion:
    """Latents of real images, ``settings.batch`` at a time.

    Arguments:
        images: of the generator's size and channels; where it has a crop, of that.
        encoder: where to start from; None: from the generator's average image.

    Raises:
        InputError: images of another size.
    """
    settings = settings or InversionSettings()
    expected = (*generator.image_size, generator.image_channels)
    if images.ndim != 4 or images.shape[1:] != expected or len(images) == 0:
        raise InputError(f"images of shape {images.shape}; expected one or more of {expected}")
    statistics = generator.mean_latent()
    parts = []
    with Progress(total=len(images), desc="inversion", unit="image", disable=not progress, leave=False) as bar:
        for start in range(0, len(images), settings.batch):
            batch = images[start : start + settings.batch]
            parts.append(_invert_batch(generator, batch, statistics, encoder, settings))
            bar.update(len(batch))
            bar.set_postfix(fidelity=f"{parts[-1].fidelity.mean():.3f}")
    fields = ("ws", "reconstruction", "fidelity", "psnr", "steps")
    return Inversion(*(np.concatenate([getattr(p, name) for p in parts]) for name in fields))


def _invert_batch(
    generator: Invertible,
    images: np.ndarray,
    statistics: tuple[Tensor, Tensor],
    encoder: LatentEncoder | None,
    settings: InversionSettings,
) -> Inversion:
    mean, std = (s.clone() for s in statistics)  # made in inference mode, which gradients cannot pass
    target = to_float(images, generator.device)
    n = len(images)
    frame = Frame(generator, mean)
    start = torch.zeros(n, mean.numel(), device=target.device)
    if encoder is not None:
        start = encoder(frame.put(target)).detach()
    best = start[:, None].repeat(1, generator.style_shape[0], 1)
    best_loss = torch.full((n,), torch.inf, device=target.device)
    steps = torch.zeros(n, dtype=torch.long)
    with generator.computing_in(settings.precision):
        for rows, v, losses in _descend(generator, target, frame, best, mean, std, settings):
            better = losses < best_loss[rows]
            best[rows[better]], best_loss[rows[better]] = v[better], losses[better]
            steps[rows.cpu()] += 1
    ws = (mean + std * best).cpu().numpy()
    reconstruction = generator.generate(ws).images.cpu().numpy()
    error = (reconstruction.astype(np.float64) - images) ** 2
    mse, variance = error.mean((1, 2, 3)), images.astype(np.float64).var((1, 2, 3))
    fidelity = 1 - mse / np.maximum(variance, 1e-6)
    return Inversion(ws, reconstruction, fidelity, 10 * np.log10(255**2 / np.maximum(mse, 1e-6)), steps.numpy())


def _descend(
    generator: Invertible,
    target: Tensor,
    frame: Frame,
    start: Tensor,
    mean: Tensor,
    std: Tensor,
    settings: InversionSettings,
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """(rows that are still moving, their v before this step, its loss); w = mean + std v."""
    rows = torch.arange(len(target), device=target.device)
    wanted = generator.perceive(frame.put(target)) if settings.perceptual else []
    v = start.clone().requires_grad_(True)
    optimizer = torch.optim.Adam([v], lr=settings.learning_rate)
    record = torch.full((len(target),), torch.inf, device=target.device)  # best loss, counted in steps of 1 %
    since = torch.zeros(len(target), dtype=torch.long, device=target.device)
    for _ in range(settings.steps + 1):
        image = frame.cut(generator.synthesise(mean + std * v))
        losses = pixel_distance(image, target[rows])
        if wanted:
            features = generator.perceive(frame.put(image))
            losses = losses + settings.perceptual * feature_distance(features, [f[rows] for f in wanted])
        yield rows, v.detach().clone(), losses.detach()
        improved = losses.detach() < 0.99 * record[rows]
        record[rows] = torch.where(improved, losses.detach(), record[rows])
        since[rows] = torch.where(improved, 0, since[rows] + 1)
        prior = settings.prior * v.square().mean((1, 2))
        spread = settings.spread * (v - v.mean(1, keepdim=True)).square().mean((1, 2))
        optimizer.zero_grad(set_to_none=True)
        (losses + prior + spread).sum().backward()
        optimizer.step()
        moving = since[rows] < settings.patience
        if not moving.any():
            return
        if not moving.all():
            v, optimizer = _keep(v, optimizer, moving)
            rows = rows[moving]


def _keep(v: Tensor, optimizer: torch.optim.Adam, chosen: Tensor) -> tuple[Tensor, torch.optim.Adam]:
    """The chosen rows and an optimizer that goes on with their moments."""
    kept = v.detach()[chosen].requires_grad_(True)
    successor = torch.optim.Adam([kept], lr=optimizer.param_groups[0]["lr"])
    state = optimizer.state[v]
    successor.state[kept] = {k: s[chosen] if s.ndim else s for k, s in state.items()}
    return kept, successor
