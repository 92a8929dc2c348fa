"""Resampling, modulated convolution and activation: the arithmetic that StyleGAN2's layers share.

Written from StyleGAN2 (arXiv 1912.04958) in plain PyTorch operations, all differentiable twice (R1 and path length
regularisation differentiate gradients).  Convolutions run in the dtype of their input, so a layer is put into half
precision by casting what enters it; style and demodulation factors are always computed in float32.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from labelfactory.interpreters.array_types import Float

SQRT_HALF = math.sqrt(0.5)
LRELU_GAIN = math.sqrt(2)


def binomial_filter(row: Sequence[float | int] = (1, 3, 3, 1)) -> Float[Tensor, "taps taps"]:
    """The networks' low-pass filter, outer([1,3,3,1]) / 64: unit gain at zero frequency."""
    taps = torch.tensor([float(tap) for tap in row])
    return torch.outer(taps, taps) / taps.sum().square()


def _taps(fir: Float[Tensor, "taps taps"], channels: int, gain: float, like: Tensor) -> tuple[Tensor, Tensor]:
    """Depthwise row and column kernels of a separable filter with unit sum."""
    taps, n = (fir.sum(dim=0) * math.sqrt(gain)).to(like.dtype), len(fir)
    return taps.view(1, 1, 1, n).expand(channels, 1, 1, n), taps.view(1, 1, n, 1).expand(channels, 1, n, 1)


def fir_filter(
    x: Float[Tensor, "batch channels height width"], fir: Float[Tensor, "taps taps"], padding: int, gain: float = 1.0
) -> Float[Tensor, "batch channels out_height out_width"]:
    """Low-pass filters with zero padding on every side; eight taps a pixel (rows, then columns) instead of sixteen."""
    channels = x.shape[1]
    row, column = _taps(fir, channels, gain, x)
    x = F.conv2d(x, row, groups=channels, padding=(0, padding))
    return F.conv2d(x, column, groups=channels, padding=(padding, 0))


def upsample2x(
    x: Float[Tensor, "batch channels height width"], fir: Float[Tensor, "taps taps"]
) -> Float[Tensor, "batch channels out_height out_width"]:
    """Zero insertion and the filter with gain 4, as a transposed convolution that never builds the zeros."""
    channels, cut = x.shape[1], len(fir) // 2 - 1
    row, column = _taps(fir, channels, 4.0, x)
    x = F.conv_transpose2d(x, row, groups=channels, stride=(1, 2), padding=(0, cut))
    return F.conv_transpose2d(x, column, groups=channels, stride=(2, 1), padding=(cut, 0))


def convolve(
    x: Tensor, weight: Tensor, fir: Tensor | None, up: int = 1, down: int = 1, bias: Tensor | None = None
) -> Tensor:
    """Convolution that keeps (1), doubles (``up=2``) or halves (``down=2``) the resolution with the low-pass filter."""
    weight = weight.to(x.dtype)
    bias = None if bias is None else bias.to(x.dtype)
    kernel = weight.shape[-1]
    if up == 2:
        x = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)
        x = fir_filter(x, _required(fir), padding=len(_required(fir)) // 2 - 1, gain=4.0)
        return x if bias is None else x + bias[:, None, None]
    if down == 2 and kernel == 1:
        # Filter and 1x1 convolution as one dense 4x4: more products, but in the one operation that hardware is best at.
        return F.conv2d(x, weight * _required(fir).to(x.dtype), bias, stride=2, padding=1)
    if down == 2:
        return F.conv2d(fir_filter(x, _required(fir), padding=2), weight, bias, stride=2)
    return F.conv2d(x, weight, bias, padding=kernel // 2)


def _required(fir: Tensor | None) -> Tensor:
    if fir is None:
        raise ValueError("resampling needs a filter")
    return fir


def modulated_conv2d(
    x: Float[Tensor, "batch in_channels height width"],
    weight: Float[Tensor, "out_channels in_channels kernel kernel"],
    style: Float[Tensor, "batch in_channels"],
    fir: Float[Tensor, "taps taps"] | None = None,
    up: int = 1,
    demodulate: bool = True,
    gain: float = 1.0,
    shift: Tensor | None = None,
) -> Float[Tensor, "batch out_channels out_height out_width"]:
    """Convolution whose input channels are scaled by the style (StyleGAN2, section 2.2, equations 1 to 3).

    Demodulation divides by ``sqrt(sum(w²) + 1e-8)`` of the scaled weight, per sample and output channel; ``gain``
    multiplies the result and ``shift`` (bias and noise, broadcast) is added in the same pass over memory.  For a batch
    the *activations* are scaled before and after one shared convolution; a single sample scales the weight instead,
    which touches less memory and gives the same numbers.
    """
    weight, style = weight.float(), style.float()
    if x.dtype == torch.float16 and demodulate:
        # Half precision overflows at 65,504: demodulation cancels any common factor, so take the largest out first.
        weight = weight * weight.square().mean(dim=(1, 2, 3), keepdim=True).rsqrt()
        style = style / style.abs().amax(dim=1, keepdim=True).clamp(min=1e-8)
    if x.shape[0] == 1:
        weight = weight * style[0][None, :, None, None]
        if demodulate:
            weight = weight * (weight.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8).rsqrt()
        x = convolve(x, weight * gain, fir, up=up)
        return x if shift is None else x + shift.to(x.dtype)
    if demodulate:
        norm = style.square() @ weight.square().sum(dim=(2, 3)).T  # [batch, out_channels]: sum of w² over in, kh, kw
        scale = (norm + 1e-8).rsqrt()[:, :, None, None].to(x.dtype) * gain
    x = convolve(x * style[:, :, None, None].to(x.dtype), weight, fir, up=up)
    if demodulate:
        return x * scale if shift is None else torch.addcmul(shift.to(x.dtype), x, scale)
    return x if shift is None else x + shift.to(x.dtype)


def leaky_relu(x: Tensor, clamp: float | None = None) -> Tensor:
    """Leaky ReLU of slope 0.2, in place, then the clamp.  Its gain sqrt(2) is in the layer's weight and bias already:
    a positive factor passes through."""
    x = F.leaky_relu_(x, 0.2)
    return x if clamp is None else x.clamp(-clamp, clamp)
