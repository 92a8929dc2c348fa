"""StyleGAN3's generator with the official parameter names (arXiv 2106.12423): input, layers, synthesis."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from labelfactory.factory.stylegan2_ada.mapping import FullyConnected, Mapping
from labelfactory.factory.stylegan3.config import Config, LayerPlan, plan
from labelfactory.factory.stylegan3.filters import downsample, low_pass, upsample
from labelfactory.interpreters.array_types import Float

SLOPE, GAIN = 0.2, math.sqrt(2)


class FourierInput(nn.Module):
    """A continuous signal of waves that w turns and shifts, sampled with the margin (section 3.1, appendix F)."""

    freqs: Tensor
    phases: Tensor
    transform: Tensor

    def __init__(self, w_dim: int, first: LayerPlan) -> None:
        super().__init__()
        channels = first.channels
        self.size, self.rate, self.bandwidth = first.size, first.rate, first.cutoff
        self.weight = nn.Parameter(torch.randn(channels, channels))
        self.affine = FullyConnected(w_dim, 4)
        with torch.no_grad():
            self.affine.weight.zero_()
            self.affine.bias.copy_(torch.tensor([1.0, 0, 0, 0]))
        freqs = torch.randn(channels, 2)
        radii = freqs.square().sum(1, keepdim=True).sqrt()
        freqs = freqs / (radii * radii.square().exp().pow(0.25)) * self.bandwidth
        self.register_buffer("freqs", freqs)
        self.register_buffer("phases", torch.rand(channels) - 0.5)
        self.register_buffer("transform", torch.eye(3))

    def forward(self, w: Float[Tensor, "batch w_dim"]) -> Float[Tensor, "batch channels size size"]:
        t = self.affine(w)
        t = t / t[:, :2].norm(dim=1, keepdim=True)
        zero, one = torch.zeros_like(t[:, 0]), torch.ones_like(t[:, 0])
        rows = [[t[:, 0], -t[:, 1], zero], [t[:, 1], t[:, 0], zero], [zero, zero, one]]
        turned = torch.stack([torch.stack(row, 1) for row in rows], 1)
        rows = [[one, zero, -t[:, 2]], [zero, one, -t[:, 3]], [zero, zero, one]]
        shifted = torch.stack([torch.stack(row, 1) for row in rows], 1)
        matrix = turned @ shifted @ self.transform  # [batch, 3, 3]
        phases = self.phases + (self.freqs @ matrix[:, :2, 2:]).squeeze(2)  # [batch, channels]
        freqs = self.freqs @ matrix[:, :2, :2]  # [batch, channels, 2]
        fading = (freqs.norm(dim=2) - self.bandwidth) / (self.rate / 2 - self.bandwidth)
        amplitude = (1 - fading).clamp(0, 1)
        at = (torch.arange(self.size, device=w.device) + 0.5 - self.size / 2) / self.rate
        grid = torch.stack(torch.meshgrid(at, at, indexing="xy"), 2)  # [size, size, 2]: x, y of each pixel's centre
        wave = torch.einsum("hwd,bcd->bhwc", grid, freqs) + phases[:, None, None]
        x = (wave * (2 * math.pi)).sin() * amplitude[:, None, None]
        x = x @ (self.weight / math.sqrt(self.weight.shape[1])).T
        return x.permute(0, 3, 1, 2)


class Layer(nn.Module):
    """Modulated convolution, then a nonlinearity that is computed on a finer grid between two low-pass filters."""

    magnitude_ema: Tensor
    up_filter: Tensor | None
    down_filter: Tensor | None

    def __init__(self, config: Config, before: LayerPlan, own: LayerPlan, last: bool) -> None:
        super().__init__()
        self.own, self.last, self.clamp = own, last, config.conv_clamp
        kernel = 1 if last else config.conv_kernel
        finest = max(before.rate, own.rate) * (1 if last else config.lrelu_upsampling)
        self.up, self.down = round(finest / before.rate), round(finest / own.rate)
        up_taps = config.filter_size * self.up if self.up > 1 and not last else 1
        down_taps = config.filter_size * self.down if self.down > 1 and not last else 1
        self.affine = FullyConnected(config.w_dim, before.channels, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn(own.channels, before.channels, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(own.channels))
        self.register_buffer("magnitude_ema", torch.ones([]))
        radial = config.use_radial_filters and not own.critical
        with torch.device("cpu"):  # designed in numpy
            up = low_pass(up_taps, before.cutoff, before.half_width, finest) if up_taps > 1 else None
            down = low_pass(down_taps, own.cutoff, own.half_width, finest, radial) if down_taps > 1 else None
        self.register_buffer("up_filter", up)
        self.register_buffer("down_filter", down)
        total = (own.size - 1) * self.down + 1 - (before.size + kernel - 1) * self.up + up_taps + down_taps - 2
        self.low = (total + self.up) // 2
        self.high = total - self.low

    def forward(
        self, x: Float[Tensor, "batch in_channels height width"], w: Float[Tensor, "batch w_dim"]
    ) -> Float[Tensor, "batch out_channels size size"]:
        style, weight = self.affine(w), self.weight.float()
        if self.last:
            style = style / math.sqrt(weight[0].numel())
        else:
            weight = weight * weight.square().mean((1, 2, 3), keepdim=True).rsqrt()
            # of each sample: over the batch, as officially, neighbours would show in the last bits; it cancels out
            style = style * style.square().mean(1, keepdim=True).rsqrt()
        kernels = weight * style[:, None, :, None, None]  # [batch, out, in, kernel, kernel]
        if not self.last:
            kernels = kernels * (kernels.square().sum((2, 3, 4), keepdim=True) + 1e-8).rsqrt()
        kernels = kernels * self.magnitude_ema.rsqrt()
        n, channels = x.shape[:2]
        x = x.reshape(1, n * channels, *x.shape[2:])
        x = F.conv2d(x, kernels.flatten(0, 1).to(x.dtype), padding=weight.shape[-1] - 1, groups=n).unflatten(
            1, (n, -1)
        )[0]
        x = upsample(x + self.bias.to(x.dtype)[:, None, None], self.up_filter, self.up, self.low, self.high)
        if not self.last:
            x = F.leaky_relu(x, SLOPE) * GAIN
        if self.clamp is not None:
            x = x.clamp(-self.clamp, self.clamp)
        return downsample(x, self.down_filter, self.down)


class Synthesis(nn.Module):
    """w of the input and of every layer -> picture, by way of the layers' outputs.

    ``half_dtype`` is what layers of high sampling rates run in.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config, self.plan, self.half_dtype = config, plan(config), torch.float32
        self.num_ws = config.num_layers + 2
        self.input = FourierInput(config.w_dim, self.plan[0])
        before = self.plan[0]
        for own in self.plan:
            setattr(self, own.name, Layer(config, before, own, own is self.plan[-1]))
            before = own

    def forward(
        self, ws: Float[Tensor, "batch num_ws w_dim"], noise_mode: str = "const", features: list[Tensor] | None = None
    ) -> Float[Tensor, "batch img_channels height width"]:
        """Picture in about [-1, 1]; ``features`` receives every layer's output but the last, cut to the picture.

        There is no noise, whatever ``noise_mode`` says.
        """
        x = self.input(ws[:, 0])
        for i, own in enumerate(self.plan):
            x = getattr(self, own.name)(x.to(self.half_dtype if own.half_precision else torch.float32), ws[:, i + 1])
            if features is not None and i < self.config.num_layers:
                margin = (own.size - own.rate) // 2
                features.append(x[:, :, margin : own.size - margin, margin : own.size - margin])
        return x.float() * self.config.output_scale


class Generator(nn.Module):
    """Mapping and synthesis; ``settings`` are those of ``Config``."""

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        self.config = Config.of(settings)
        c = self.config
        self.synthesis = Synthesis(c)
        self.num_ws = self.synthesis.num_ws
        self.mapping = Mapping(c.z_dim, c.c_dim, c.w_dim, self.num_ws, c.mapping_layers)
