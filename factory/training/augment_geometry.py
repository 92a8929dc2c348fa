"""Geometry of adaptive augmentation: pixel blitting, and filtered resampling under any affine map.

Both are linear in the image and differentiable as often as wanted, which R1 needs: it differentiates a gradient.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from labelfactory.interpreters.array_types import Float, Int

TAPS = 12  # of the resampling filter, at the doubled resolution
_HALO = TAPS // 4  # pixels that the filter reaches beyond an edge


def reflect(index: Tensor, size: int) -> Tensor:
    """Positions beyond 0 … size-1, mirrored at the edge pixels as often as needed."""
    if size == 1:
        return torch.zeros_like(index)
    index = index.abs() % (2 * (size - 1))
    return torch.minimum(index, 2 * (size - 1) - index)


def reflect_pad(x: Float[Tensor, "batch channels height width"], pad: int) -> Float[Tensor, "batch channels h2 w2"]:
    """Mirror padding of any width, also wider than the image."""
    rows = reflect(torch.arange(-pad, x.shape[2] + pad, device=x.device), x.shape[2])
    columns = reflect(torch.arange(-pad, x.shape[3] + pad, device=x.device), x.shape[3])
    return x[:, :, rows][:, :, :, columns]


def blit(
    x: Float[Tensor, "batch channels size size"],
    flip: Int[Tensor, " batch"],
    turns: Int[Tensor, " batch"],
    shift: Int[Tensor, "batch 2"],
) -> Float[Tensor, "batch channels size size"]:
    """Mirrors left-right (``flip`` 1), turns by 90° ``turns`` times, moves by ``shift`` (down, right) pixels.

    Every output pixel is some input pixel, unchanged; what moves in from outside is the mirrored image.
    """
    n, channels, size, _ = x.shape
    grid = torch.arange(size, device=x.device)
    rows, columns = torch.meshgrid(grid, grid, indexing="ij")
    rows = reflect(rows[None] - shift[:, 0, None, None], size)
    columns = reflect(columns[None] - shift[:, 1, None, None], size)
    for turn in range(1, 4):  # where a pixel of the turned image came from
        chosen = (turns == turn)[:, None, None]
        before = {
            1: (columns, size - 1 - rows),
            2: (size - 1 - rows, size - 1 - columns),
            3: (size - 1 - columns, rows),
        }
        source_rows, source_columns = before[turn]
        rows, columns = torch.where(chosen, source_rows, rows), torch.where(chosen, source_columns, columns)
    columns = torch.where((flip == 1)[:, None, None], size - 1 - columns, columns)
    index = (rows * size + columns).view(n, 1, -1).expand(n, channels, -1)
    return x.reshape(n, channels, -1).gather(2, index).view_as(x)


def lowpass() -> Float[Tensor, " taps"]:
    """Half-band low-pass, sum 1: a sinc under a Kaiser window. Symmetric, so doubling and halving shift nothing."""
    position = (torch.arange(TAPS, dtype=torch.float64) - (TAPS - 1) / 2) / 2
    taps = torch.sinc(position) * torch.kaiser_window(TAPS, periodic=False, beta=6.0, dtype=torch.float64)
    return (taps / taps.sum()).float()


class _Warp(torch.autograd.Function):
    """Bilinear look-up. Linear in the image, so its derivative is its transpose and the derivative of that is itself;
    torch's own ``grid_sample`` stops at the first derivative."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, grid: Tensor) -> Tensor:
        ctx.save_for_backward(grid)
        ctx.shape = image.shape
        return F.grid_sample(image, grid, mode="bilinear", padding_mode="reflection", align_corners=False)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return _WarpTransposed.apply(gradients[0], ctx.saved_tensors[0], ctx.shape), None


class _WarpTransposed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gradient: Tensor, grid: Tensor, shape: torch.Size) -> Tensor:
        ctx.save_for_backward(grid)
        image = gradient.new_zeros(shape)  # only its shape matters
        back = torch.ops.aten.grid_sampler_2d_backward(gradient.contiguous(), image, grid, 0, 2, False, [True, False])
        return back[0]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return _Warp.apply(gradients[0], ctx.saved_tensors[0]), None, None


def affine_warp(
    x: Float[Tensor, "batch channels size size"], matrix: Float[Tensor, "batch 2 3"]
) -> Float[Tensor, "batch channels size size"]:
    """Resamples square images: output position p shows input position ``matrix @ (p, 1)``.

    Positions are (right, down) from the centre, in image widths. The image is doubled, looked up bilinearly and
    halved again, filtered at both steps (StyleGAN2-ADA, appendix B.2, with a symmetric filter instead of sym6);
    outside lies its mirror image.
    """
    n, channels, size, _ = x.shape
    taps = lowpass().to(x)
    row, column = (taps.view(shape).expand(channels, *shape[1:]) for shape in ((1, 1, 1, TAPS), (1, 1, TAPS, 1)))
    doubled = reflect_pad(x, _HALO)
    edge = TAPS // 2 - 1  # puts pixel i at 2 i + 1/2
    doubled = F.conv_transpose2d(doubled, row * 2, stride=(1, 2), padding=(0, edge), groups=channels)
    doubled = F.conv_transpose2d(doubled, column * 2, stride=(2, 1), padding=(edge, 0), groups=channels)
    crop = slice(2 * _HALO, 2 * _HALO + 2 * size)
    doubled = doubled[:, :, crop, crop]

    span = torch.arange(-edge, 2 * size + edge, device=x.device, dtype=matrix.dtype)
    span = (span + 0.5) / (2 * size) - 0.5
    down, right = torch.meshgrid(span, span, indexing="ij")
    position = torch.stack([right, down, torch.ones_like(right)]).flatten(1)
    grid = 2 * (matrix @ position).view(n, 2, len(span), len(span)).permute(0, 2, 3, 1)
    warped: Tensor = _Warp.apply(doubled, grid.to(x))
    warped = F.conv2d(warped, row, stride=(1, 2), groups=channels)
    return F.conv2d(warped, column, stride=(2, 1), groups=channels)
