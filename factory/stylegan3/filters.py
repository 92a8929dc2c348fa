"""Low-pass filters of StyleGAN3 (arXiv 2106.12423, appendix C.1), and resampling with them."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from labelfactory.interpreters.array_types import Float, Shaped


def low_pass(
    taps: int, cutoff: float, half_width: float, rate: float | int, radial: bool = False
) -> Shaped[Tensor, "..."]:
    """A Kaiser-windowed filter, ``[taps]`` or, radially symmetric, ``[taps, taps]``; unit gain at zero frequency.

    cutoff, half_width: of the passband and of half the transition band, in the units of ``rate``, the sampling rate.
    """
    from scipy import signal, special

    width = 2 * half_width
    if not radial:
        fir = signal.firwin(taps, cutoff=cutoff, width=width, fs=rate)
        return torch.from_numpy(np.asarray(fir, np.float32))
    x = (np.arange(taps) - (taps - 1) / 2) / rate
    r = np.hypot(*np.meshgrid(x, x))
    jinc = special.j1(2 * cutoff * np.pi * r) / (np.pi * r)
    window = np.kaiser(taps, signal.kaiser_beta(signal.kaiser_atten(taps, width / (rate / 2))))
    fir = jinc * np.outer(window, window)
    return torch.from_numpy((fir / fir.sum()).astype(np.float32))


def upsample(
    x: Float[Tensor, "batch channels height width"], fir: Float[Tensor, "taps"] | None, up: int, low: int, high: int
) -> Float[Tensor, "batch channels out_height out_width"]:
    """Zeros between samples, ``low`` before and ``high`` behind (fewer than 0: cut off), the filter with gain up².

    As transposed convolutions along rows and columns, which never build the zeros.
    """
    taps = 1 if fir is None else len(fir)
    length = [n * up + low + high - taps + 1 for n in x.shape[2:]]
    if fir is None and up == 1:
        return F.pad(x, [low, high, low, high])
    channels = x.shape[1]
    row = (torch.ones(1, device=x.device) if fir is None else fir).to(x.dtype) * up
    x = F.conv_transpose2d(x, row.view(1, 1, 1, -1).expand(channels, 1, 1, -1), stride=(1, up), groups=channels)
    x = F.conv_transpose2d(x, row.view(1, 1, -1, 1).expand(channels, 1, -1, 1), stride=(up, 1), groups=channels)
    before = low - (taps - 1)
    after = [n - before - have for n, have in zip(length, x.shape[2:], strict=True)]
    return F.pad(x, [before, after[1], before, after[0]])


def downsample(
    x: Float[Tensor, "batch channels height width"], fir: Shaped[Tensor, "..."] | None, down: int
) -> Float[Tensor, "batch channels out_height out_width"]:
    """The filter, of which only what fits counts, and every ``down``-th sample."""
    if fir is None:
        return x if down == 1 else x[:, :, ::down, ::down]
    channels, fir = x.shape[1], fir.to(x.dtype)
    if fir.ndim == 2:
        return F.conv2d(x, fir.expand(channels, 1, *fir.shape), stride=down, groups=channels)
    x = F.conv2d(x, fir.view(1, 1, 1, -1).expand(channels, 1, 1, -1), stride=(1, down), groups=channels)
    return F.conv2d(x, fir.view(1, 1, -1, 1).expand(channels, 1, -1, 1), stride=(down, 1), groups=channels)
