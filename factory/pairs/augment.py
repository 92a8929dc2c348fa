"""Random variations of a batch: one geometry for image, mask (nearest) and weights; light changes for the image."""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from labelfactory.factory.pairs.augmentation import Augmentation
from labelfactory.factory.pairs.blur import gaussian_blur
from labelfactory.factory.sensor.applying import through_sensor
from labelfactory.factory.symmetry import RECTANGLE, dihedral_each, dihedral_points
from labelfactory.interpreters.array_types import Bool, Float, Int

MIRRORS = (0, 7)  # itself, and left and right exchanged


@dataclass(frozen=True)
class Batch:
    """What the network sees of one step: images in 0..1, labels, and how much each pixel counts.

    ``objects`` numbers objects from 1 (0: none); ``points`` are x, y in pixels and visibility (0: not labelled).
    ``generated`` says which images no camera took (None: all were taken by one).
    """

    images: Float[Tensor, "batch channels height width"]
    masks: Int[Tensor, "batch height width"]
    weights: Float[Tensor, "batch height width"]
    objects: Int[Tensor, "batch height width"] | None = None
    points: Float[Tensor, "batch points 3"] | None = None
    generated: Bool[Tensor, "batch"] | None = None


def augment(batch: Batch, how: Augmentation, generator: torch.Generator) -> Batch:
    """Each sample varied on its own; ``generator`` (on the CPU) decides everything, so a step can be repeated.

    Generated images go through the sensor first, where there is one: from there on they are as if they had been taken.
    """
    if how.sensor is not None and batch.generated is not None:
        taken = through_sensor(batch.images, how.sensor, generator)
        batch = replace(batch, images=taken.where(batch.generated[:, None, None, None], batch.images))
    if how.dihedral:
        batch = _dihedral(batch, generator)
    elif how.mirror:
        batch = _dihedral(batch, generator, MIRRORS)
    if how.rotation or how.scale != 1 or how.shift or how.shear:
        batch = _affine(batch, how, generator)
    x = batch.images
    n = len(x)
    if how.blur:
        x = gaussian_blur(x, (_draw(n, 0.0, how.blur, generator) * _applies(n, how.p, generator)).to(x.device))
    if how.contrast != 1:
        log_c = math.log(how.contrast)
        factor = (_draw(n, -log_c, log_c, generator) * _applies(n, how.p, generator)).exp().to(x.device)
        mean = x.mean((1, 2, 3), keepdim=True)
        x = mean + (x - mean) * factor[:, None, None, None]
    if how.brightness:
        shift = _draw(n, -how.brightness, how.brightness, generator) * _applies(n, how.p, generator)
        x = x + shift.to(x.device)[:, None, None, None]
    if how.noise:
        deviation = _draw(n, 0.0, how.noise, generator) * _applies(n, how.p, generator)
        grain = torch.randn(x.shape, generator=generator).to(x.device)
        x = x + deviation.to(x.device)[:, None, None, None] * grain
    return replace(batch, images=x.clamp(0, 1).contiguous(memory_format=torch.channels_last))


def _dihedral(batch: Batch, generator: torch.Generator, some: tuple[int, ...] = ()) -> Batch:
    """Each sample by one of the symmetries: ``some`` of them, or all that its size has."""
    n, height, width = batch.masks.shape
    elements = torch.tensor(some or (range(8) if width == height else RECTANGLE))
    chosen = elements[torch.randint(len(elements), (n,), generator=generator)]
    points = batch.points
    if points is not None:
        moved = [
            dihedral_points(p[:, :2].cpu().numpy(), e, height, width)
            for p, e in zip(points, chosen.tolist(), strict=True)
        ]
        points = torch.cat([torch.from_numpy(np.stack(moved)).to(points), points[..., 2:]], -1)
    return Batch(
        dihedral_each(batch.images, chosen),
        dihedral_each(batch.masks, chosen),
        dihedral_each(batch.weights, chosen),
        None if batch.objects is None else dihedral_each(batch.objects, chosen),
        points,
    )


def _affine(batch: Batch, how: Augmentation, generator: torch.Generator) -> Batch:
    """Rotation, scale, shear and shift in one resampling, mirrored at the borders."""
    x, n, height, width = batch.images, *batch.masks.shape
    angle = _draw(n, -math.radians(how.rotation), math.radians(how.rotation), generator) * _applies(n, how.p, generator)
    log_s = math.log(how.scale)
    scale = (_draw(n, -log_s, log_s, generator) * _applies(n, how.p, generator)).exp()
    shear = _draw(n, -how.shear, how.shear, generator) * _applies(n, how.p, generator)
    shift = [_draw(n, -2 * how.shift, 2 * how.shift, generator) * _applies(n, how.p, generator) for _ in range(2)]
    cos, sin = angle.cos() / scale, angle.sin() / scale
    aspect = width / height  # affine_grid's coordinates run from -1 to 1 on both axes
    theta = torch.stack(
        [
            torch.stack([cos, (cos * shear - sin) / aspect, shift[0]], 1),
            torch.stack([sin * aspect, sin * shear + cos, shift[1]], 1),
        ],
        1,
    ).to(x.device)
    grid = F.affine_grid(theta, [n, 1, height, width], align_corners=False)
    image = F.grid_sample(x, grid, "bilinear", "reflection", align_corners=False)
    maps = [batch.masks.to(x.dtype), batch.weights, *([] if batch.objects is None else [batch.objects.to(x.dtype)])]
    labels = F.grid_sample(torch.stack(maps, 1), grid, "nearest", "reflection", align_corners=False)
    mask, weights = labels[:, 0].to(batch.masks.dtype), labels[:, 1]
    objects = None
    if batch.objects is not None:
        mirrored = (grid.abs() > 1).any(-1)
        objects = _parted(labels[:, 2].to(batch.objects.dtype), mirrored)
    points = None if batch.points is None else _moved(batch.points, theta.to(x.device), height, width)
    return Batch(image, mask, weights, objects, points)


def _parted(objects: Tensor, mirrored: Tensor) -> Tensor:
    """Copies of an object that mirroring shows beyond the border get numbers of their own, where they touch no other
    part of it."""
    from scipy import ndimage

    out = objects.cpu().numpy().copy()
    beyond = mirrored.cpu().numpy()
    for one, outside in zip(out, beyond, strict=True):
        fresh = int(one.max()) + 1
        for number in np.unique(one[outside & (one > 0)]).tolist():
            parts, count = ndimage.label(one == number, structure=np.ones((3, 3)))
            for part in range(2, count + 1):
                one[parts == part] = fresh
                fresh += 1
    return torch.from_numpy(out).to(objects)


def _moved(points: Tensor, theta: Tensor, height: int, width: int) -> Tensor:
    """Where an image's points are after it was resampled at ``theta`` times the new positions (both from -1 to 1)."""
    half = points.new_tensor([width / 2, height / 2])
    old = points[..., :2] / half - 1
    new = torch.linalg.solve(theta[:, :, :2], (old - theta[:, None, :, 2]).mT).mT
    xy = (new + 1) * half
    seen = ((new.abs() <= 1).all(-1, keepdim=True)) * points[..., 2:]
    return torch.cat([xy, seen], -1)


def _draw(n: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(n, generator=generator)


def _applies(n: int, p: float, generator: torch.Generator) -> Tensor:
    return (torch.rand(n, generator=generator) < p).float()
