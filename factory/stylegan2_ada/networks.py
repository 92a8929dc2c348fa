"""StyleGAN2-ADA's networks with the official parameter names (arXiv 1912.04958, 2006.06676)."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from factory.stylegan2_ada.ops import (
    LRELU_GAIN,
    SQRT_HALF,
    binomial_filter,
    convolve,
    leaky_relu,
    modulated_conv2d,
    upsample2x,
)
from interpreters.shapes import Float

NoiseMode = str  # "const" | "random" | "none"


def block_resolutions(resolution: int) -> list[int]:
    """4, 8, … resolution."""
    if resolution < 4 or resolution & (resolution - 1):
        raise ValueError(f"resolution {resolution}: expected a power of two from 4 on")
    return [2**i for i in range(2, int(math.log2(resolution)) + 1)]


def channels_at(resolution: int, channel_base: int, channel_max: int) -> int:
    return min(channel_base // resolution, channel_max)


def second_moment_norm(x: Float[Tensor, "batch features"]) -> Float[Tensor, "batch features"]:
    return x * (x.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()


class FullyConnected(nn.Module):
    """Linear layer with equalised learning rate (arXiv 1710.10196, section 4.1)."""

    def __init__(
        self, in_features: int, out_features: int, lr_mul: float = 1.0, bias_init: float = 0.0, lrelu: bool = False
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_features, in_features) / lr_mul)
        self.bias = nn.Parameter(torch.full((out_features,), float(bias_init)))
        self.lr_mul, self.lrelu = lr_mul, lrelu

    def forward(self, x: Float[Tensor, "batch in_features"]) -> Float[Tensor, "batch out_features"]:
        gain = self.lr_mul * (LRELU_GAIN if self.lrelu else 1)
        x = F.linear(x, self.weight * (gain / math.sqrt(self.weight.shape[1])), self.bias * gain)
        return leaky_relu(x) if self.lrelu else x


class Mapping(nn.Module):
    """z (and class label c) -> w. The discriminator's maps c alone (``z_dim=0``) and tracks no average."""

    w_avg: Tensor

    def __init__(self, z_dim: int, c_dim: int, w_dim: int, num_ws: int | None, layers: int = 8) -> None:
        super().__init__()
        self.z_dim, self.c_dim, self.num_ws, self.num_layers = z_dim, c_dim, num_ws, layers
        if c_dim:
            self.embed = FullyConnected(c_dim, w_dim)
        features = [z_dim + (w_dim if c_dim else 0)] + [w_dim] * layers
        for i in range(layers):
            setattr(self, f"fc{i}", FullyConnected(features[i], features[i + 1], lr_mul=0.01, lrelu=True))
        if num_ws is not None:
            self.register_buffer("w_avg", torch.zeros(w_dim))

    def forward(
        self,
        z: Float[Tensor, "batch z_dim"] | None,
        c: Float[Tensor, "batch c_dim"] | None = None,
        truncation_psi: float = 1.0,
        truncation_cutoff: int | None = None,
    ) -> Float[Tensor, "batch ..."]:
        """One w per synthesis layer, ``[batch, num_ws, w_dim]``; without ``num_ws`` just ``[batch, w_dim]``."""
        inputs = []
        if self.z_dim:
            if z is None:
                raise ValueError("this mapping network needs z")
            inputs.append(second_moment_norm(z.float()))
        if self.c_dim:
            if c is None:
                raise ValueError(f"this network is conditional: give c with {self.c_dim} columns")
            inputs.append(second_moment_norm(self.embed(c.float())))
        w = torch.cat(inputs, dim=1)
        for i in range(self.num_layers):
            w = getattr(self, f"fc{i}")(w)
        if self.num_ws is None:
            return w
        if self.training:
            self.w_avg.copy_(w.detach().mean(dim=0).lerp(self.w_avg, 0.995))
        ws = w[:, None].repeat(1, self.num_ws, 1)
        if truncation_psi != 1:
            cutoff = self.num_ws if truncation_cutoff is None else truncation_cutoff
            ws = torch.cat([self.w_avg.lerp(ws[:, :cutoff], truncation_psi), ws[:, cutoff:]], dim=1)
        return ws


class SynthesisLayer(nn.Module):
    """Modulated 3x3 convolution, noise, bias, leaky ReLU: the layer whose output the interpreter reads."""

    resample_filter: Tensor
    noise_const: Tensor

    def __init__(
        self, in_channels: int, out_channels: int, w_dim: int, resolution: int, up: int, conv_clamp: float | None
    ) -> None:
        super().__init__()
        self.up, self.conv_clamp, self.resolution = up, conv_clamp, resolution
        self.affine = FullyConnected(w_dim, in_channels, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, 3, 3))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.noise_strength = nn.Parameter(torch.zeros([]))
        self.register_buffer("noise_const", torch.randn(resolution, resolution))
        self.register_buffer("resample_filter", binomial_filter())

    def forward(
        self, x: Float[Tensor, "batch in_channels height width"], w: Float[Tensor, "batch w_dim"], noise_mode: NoiseMode
    ) -> Float[Tensor, "batch out_channels out_height out_width"]:
        shift = self.bias[:, None, None]
        if noise_mode == "const":
            shift = shift + self.noise_const * self.noise_strength
        x = modulated_conv2d(
            x,
            self.weight,
            self.affine(w),
            self.resample_filter,
            up=self.up,
            gain=LRELU_GAIN,
            shift=shift * LRELU_GAIN,
        )
        if noise_mode == "random":  # apart from the bias: together they would be as large as x, in float32
            noise = torch.randn(x.shape[0], 1, self.resolution, self.resolution, device=x.device)
            x = x.add_((noise * (self.noise_strength * LRELU_GAIN)).to(x.dtype))
        return leaky_relu(x, self.conv_clamp)


class ToRGB(nn.Module):
    """Modulated 1x1 convolution to image channels, without demodulation."""

    def __init__(self, in_channels: int, out_channels: int, w_dim: int, conv_clamp: float | None) -> None:
        super().__init__()
        self.conv_clamp = conv_clamp
        self.affine = FullyConnected(w_dim, in_channels, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(out_channels))

    def forward(
        self, x: Float[Tensor, "batch in_channels height width"], w: Float[Tensor, "batch w_dim"]
    ) -> Float[Tensor, "batch out_channels height width"]:
        style = self.affine(w) / math.sqrt(self.weight.shape[1])
        x = modulated_conv2d(x, self.weight, style, demodulate=False)
        x = x.float() + self.bias[:, None, None]
        return x if self.conv_clamp is None else x.clamp(-self.conv_clamp, self.conv_clamp)


class SynthesisBlock(nn.Module):
    """One resolution: two layers (one at 4x4) and the skip connection to the image."""

    resample_filter: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        w_dim: int,
        resolution: int,
        img_channels: int,
        conv_clamp: float | None,
    ) -> None:
        super().__init__()
        if in_channels == 0:
            self.const = nn.Parameter(torch.randn(out_channels, resolution, resolution))
        else:
            self.conv0 = SynthesisLayer(in_channels, out_channels, w_dim, resolution, up=2, conv_clamp=conv_clamp)
        self.conv1 = SynthesisLayer(out_channels, out_channels, w_dim, resolution, up=1, conv_clamp=conv_clamp)
        self.torgb = ToRGB(out_channels, img_channels, w_dim, conv_clamp)
        self.register_buffer("resample_filter", binomial_filter())
        self.num_conv = 1 if in_channels == 0 else 2


class Synthesis(nn.Module):
    """w of every layer -> image, by way of the feature maps.

    ``half_resolutions`` of the highest blocks run in ``half_dtype`` (and channels_last, which tensor cores and AMX
    want); 0 is float32 throughout.  The image is always summed in float32.
    """

    def __init__(
        self,
        w_dim: int,
        img_resolution: int,
        img_channels: int,
        channel_base: int,
        channel_max: int,
        conv_clamp: float | None,
    ) -> None:
        super().__init__()
        self.resolutions = block_resolutions(img_resolution)
        self.half_resolutions, self.half_dtype = 0, torch.bfloat16
        in_channels, self.num_ws, self.feature_channels = 0, 1, list[int]()
        for resolution in self.resolutions:
            out_channels = channels_at(resolution, channel_base, channel_max)
            block = SynthesisBlock(in_channels, out_channels, w_dim, resolution, img_channels, conv_clamp)
            setattr(self, f"b{resolution}", block)
            in_channels = out_channels
            self.num_ws += block.num_conv
            self.feature_channels += [out_channels] * block.num_conv

    def forward(
        self,
        ws: Float[Tensor, "batch num_ws w_dim"],
        noise_mode: NoiseMode = "random",
        features: list[Tensor] | None = None,
    ) -> Float[Tensor, "batch img_channels height width"]:
        """Image in about [-1, 1]; a list given as ``features`` receives each 3x3 convolution's output in order."""
        if noise_mode not in ("const", "random", "none"):
            raise ValueError(f"noise_mode {noise_mode!r}: expected 'const', 'random' or 'none'")
        if ws.ndim != 3 or ws.shape[1] != self.num_ws:
            raise ValueError(f"ws of shape {tuple(ws.shape)}: expected [batch, {self.num_ws}, w_dim]")
        x: Tensor | None = None
        image: Tensor | None = None
        index = 0
        for i, resolution in enumerate(self.resolutions):
            block = getattr(self, f"b{resolution}")
            half = i >= len(self.resolutions) - self.half_resolutions
            layout = torch.channels_last if half else torch.contiguous_format
            dtype = self.half_dtype if half else torch.float32
            if x is None:
                x = block.const[None].repeat(ws.shape[0], 1, 1, 1)
            x = x.to(dtype=dtype, memory_format=layout)
            for layer in [block.conv0, block.conv1] if block.num_conv == 2 else [block.conv1]:
                x = layer(x, ws[:, index], noise_mode)
                index += 1
                if features is not None:
                    features.append(x)
            rgb = block.torgb(x, ws[:, index])
            image = rgb if image is None else upsample2x(image, block.resample_filter) + rgb
        if image is None:
            raise ValueError("a synthesis network has at least one block")
        return image


class Generator(nn.Module):
    """Mapping and synthesis. ``config`` holds the keyword arguments that rebuild the network."""

    def __init__(
        self,
        z_dim: int,
        c_dim: int,
        w_dim: int,
        img_resolution: int,
        img_channels: int,
        mapping_layers: int = 8,
        channel_base: int = 32768,
        channel_max: int = 512,
        conv_clamp: float | None = None,
    ) -> None:
        super().__init__()
        self.config: dict[str, Any] = {k: v for k, v in locals().items() if k not in ("self", "__class__")}
        self.z_dim, self.c_dim, self.w_dim = z_dim, c_dim, w_dim
        self.img_resolution, self.img_channels = img_resolution, img_channels
        self.synthesis = Synthesis(w_dim, img_resolution, img_channels, channel_base, channel_max, conv_clamp)
        self.num_ws = self.synthesis.num_ws
        self.mapping = Mapping(z_dim, c_dim, w_dim, self.num_ws, mapping_layers)

    def forward(
        self,
        z: Float[Tensor, "batch z_dim"],
        c: Float[Tensor, "batch c_dim"] | None = None,
        truncation_psi: float = 1.0,
        truncation_cutoff: int | None = None,
        noise_mode: NoiseMode = "random",
    ) -> Float[Tensor, "batch img_channels height width"]:
        ws = self.mapping(z, c, truncation_psi, truncation_cutoff)
        return self.synthesis(ws, noise_mode)


class Conv2dLayer(nn.Module):
    """The discriminator's convolution: equalised learning rate, optional halving, bias, activation."""

    resample_filter: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        down: int = 1,
        bias: bool = True,
        lrelu: bool = True,
        conv_clamp: float | None = None,
    ) -> None:
        super().__init__()
        self.down, self.lrelu, self.conv_clamp = down, lrelu, conv_clamp
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        self.register_buffer("resample_filter", binomial_filter())

    def forward(self, x: Tensor, gain: float = 1.0) -> Tensor:
        gain *= LRELU_GAIN if self.lrelu else 1
        weight = self.weight * (gain / math.sqrt(self.weight[0].numel()))
        bias = None if self.bias is None else self.bias * gain
        x = convolve(x, weight, self.resample_filter, down=self.down, bias=bias)
        clamp = None if self.conv_clamp is None else self.conv_clamp * gain / LRELU_GAIN
        return leaky_relu(x, clamp) if self.lrelu else x


class DiscriminatorBlock(nn.Module):
    resample_filter: Tensor

    def __init__(
        self, img_channels: int, in_channels: int, out_channels: int, first: bool, conv_clamp: float | None
    ) -> None:
        super().__init__()
        self.register_buffer("resample_filter", binomial_filter())
        self.fromrgb = Conv2dLayer(img_channels, in_channels, 1, conv_clamp=conv_clamp) if first else None
        self.conv0 = Conv2dLayer(in_channels, in_channels, 3, conv_clamp=conv_clamp)
        self.conv1 = Conv2dLayer(in_channels, out_channels, 3, down=2, conv_clamp=conv_clamp)
        self.skip = Conv2dLayer(in_channels, out_channels, 1, down=2, bias=False, lrelu=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.fromrgb is not None:
            x = self.fromrgb(x)
        return self.skip(x, gain=SQRT_HALF) + self.conv1(self.conv0(x), gain=SQRT_HALF)


def minibatch_std(
    x: Float[Tensor, "batch channels height width"], group_size: int | None
) -> Float[Tensor, "batch plus_one height width"]:
    """Appends one channel with the standard deviation inside groups of the batch (arXiv 1710.10196, section 3).

    ``group_size`` None takes the whole batch as one group.
    """
    n, _, h, w = x.shape
    group = n if group_size is None else min(group_size, n)
    if n % group:
        raise ValueError(f"batch of {n}: expected a multiple of the minibatch-std group size {group}")
    y = x.reshape(group, n // group, -1)
    y = y - y.mean(dim=0)
    y = (y.square().mean(dim=0) + 1e-8).sqrt().mean(dim=1)
    return torch.cat([x, y.repeat(group)[:, None, None, None].expand(n, 1, h, w)], dim=1)


class DiscriminatorEpilogue(nn.Module):
    def __init__(self, channels: int, cmap_dim: int, mbstd_group_size: int | None, conv_clamp: float | None) -> None:
        super().__init__()
        self.mbstd_group_size = mbstd_group_size
        self.conv = Conv2dLayer(channels + 1, channels, 3, conv_clamp=conv_clamp)
        self.fc = FullyConnected(channels * 16, channels, lrelu=True)
        self.out = FullyConnected(channels, cmap_dim or 1)

    def forward(self, x: Tensor, cmap: Tensor | None) -> Tensor:
        x = self.conv(minibatch_std(x.float().contiguous(), self.mbstd_group_size))
        x = self.out(self.fc(x.flatten(1)))
        return x if cmap is None else (x * cmap).sum(dim=1, keepdim=True) / math.sqrt(cmap.shape[1])


class Discriminator(nn.Module):
    """Residual discriminator; ``half_resolutions`` of the highest blocks run in ``half_dtype`` as in ``Synthesis``."""

    def __init__(
        self,
        c_dim: int,
        img_resolution: int,
        img_channels: int,
        channel_base: int = 32768,
        channel_max: int = 512,
        conv_clamp: float | None = None,
        mbstd_group_size: int | None = 4,
        cmap_dim: int | None = None,
        mapping_layers: int = 8,
    ) -> None:
        super().__init__()
        self.config: dict[str, Any] = {k: v for k, v in locals().items() if k not in ("self", "__class__")}
        self.img_resolution, self.img_channels, self.c_dim = img_resolution, img_channels, c_dim
        self.resolutions = block_resolutions(img_resolution)[:0:-1]
        self.half_resolutions, self.half_dtype = 0, torch.bfloat16
        last = channels_at(4, channel_base, channel_max)
        for resolution in self.resolutions:
            channels = channels_at(resolution, channel_base, channel_max)
            below = channels_at(resolution // 2, channel_base, channel_max)
            first = resolution == img_resolution
            setattr(self, f"b{resolution}", DiscriminatorBlock(img_channels, channels, below, first, conv_clamp))
        cmap = 0 if c_dim == 0 else last if cmap_dim is None else cmap_dim
        if c_dim:
            self.mapping = Mapping(0, c_dim, cmap, num_ws=None, layers=mapping_layers)
        self.b4 = DiscriminatorEpilogue(last, cmap, mbstd_group_size, conv_clamp)

    def forward(
        self, image: Float[Tensor, "batch img_channels height width"], c: Float[Tensor, "batch c_dim"] | None = None
    ) -> Float[Tensor, "batch 1"]:
        """Logits: positive means real."""
        x = image
        for i, resolution in enumerate(self.resolutions):
            half = i < self.half_resolutions
            layout = torch.channels_last if half else torch.contiguous_format
            x = x.to(dtype=self.half_dtype if half else torch.float32, memory_format=layout)
            x = getattr(self, f"b{resolution}")(x)
        return self.b4(x, self.mapping(None, c) if self.c_dim else None)


def set_precision(network: Generator | Discriminator, dtype: torch.dtype, num_resolutions: int | None = None) -> None:
    """Runs the highest ``num_resolutions`` blocks (all of them if None) in ``dtype``; float32 switches back."""
    body = network.synthesis if isinstance(network, Generator) else network
    body.half_dtype = dtype
    body.half_resolutions = (
        0 if dtype == torch.float32 else len(body.resolutions) if num_resolutions is None else num_resolutions
    )
