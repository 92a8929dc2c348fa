"""StyleGAN2-ADA's networks with the official parameter names (arXiv 1912.04958, 2006.06676): the generator, and the
face of both."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from labelfactory.factory.stylegan2_ada.config import NetworkConfig
from labelfactory.factory.stylegan2_ada.discriminator import Discriminator, minibatch_std
from labelfactory.factory.stylegan2_ada.mapping import FullyConnected, Mapping, block_resolutions, channels_at
from labelfactory.factory.stylegan2_ada.ops import (
    LRELU_GAIN,
    SQRT_HALF,
    binomial_filter,
    leaky_relu,
    modulated_conv2d,
    upsample2x,
)
from labelfactory.interpreters.array_types import Float

__all__ = ["Discriminator", "Generator", "block_resolutions", "minibatch_std", "set_precision"]

NoiseMode = str  # "const" | "random" | "none"


class Fork(NamedTuple):
    """What few files have otherwise: see ``NetworkConfig``."""

    start: tuple[int, int] = (4, 4)
    architecture: str = "skip"
    use_noise: bool = True
    resample_filter: tuple[float | int, ...] = (1, 3, 3, 1)

    def size(self, resolution: int) -> tuple[int, int]:
        """Height and width where a square network has ``resolution``."""
        return self.start[0] * resolution // 4, self.start[1] * resolution // 4


class SynthesisLayer(nn.Module):
    """Modulated 3x3 convolution, noise, bias, leaky ReLU: the layer whose output the interpreter reads."""

    resample_filter: Tensor
    noise_const: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        w_dim: int,
        resolution: int,
        up: int,
        conv_clamp: float | None,
        fork: Fork = Fork(),  # noqa: B008, immutable
    ) -> None:
        super().__init__()
        self.up, self.conv_clamp, self.size, self.use_noise = up, conv_clamp, fork.size(resolution), fork.use_noise
        self.affine = FullyConnected(w_dim, in_channels, bias_init=1.0)
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, 3, 3))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        if self.use_noise:
            self.noise_strength = nn.Parameter(torch.zeros([]))
            self.register_buffer("noise_const", torch.randn(self.size))
        self.register_buffer("resample_filter", binomial_filter(fork.resample_filter))

    def forward(
        self,
        x: Float[Tensor, "batch in_channels height width"],
        w: Float[Tensor, "batch w_dim"],
        noise_mode: NoiseMode,
        gain: float = 1.0,
    ) -> Float[Tensor, "batch out_channels out_height out_width"]:
        """``gain`` scales the output; the clamp goes with it."""
        shift = self.bias[:, None, None]
        if noise_mode == "const" and self.use_noise:
            shift = shift + self.noise_const * self.noise_strength
        x = modulated_conv2d(
            x,
            self.weight,
            self.affine(w),
            self.resample_filter,
            up=self.up,
            gain=LRELU_GAIN * gain,
            shift=shift * LRELU_GAIN * gain,
        )
        if (
            noise_mode == "random" and self.use_noise
        ):  # apart from the bias: together they would be as large as x, in float32
            noise = torch.randn(x.shape[0], 1, *self.size, device=x.device)
            x = x.add_((noise * (self.noise_strength * LRELU_GAIN * gain)).to(x.dtype))
        return leaky_relu(x, None if self.conv_clamp is None else self.conv_clamp * gain)


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


class Skip(nn.Module):
    """The residual branch of architecture resnet: 1x1 convolution and upsampling, no bias."""

    resample_filter: Tensor

    def __init__(self, in_channels: int, out_channels: int, fork: Fork) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, 1, 1))
        self.register_buffer("resample_filter", binomial_filter(fork.resample_filter))

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight * (SQRT_HALF / math.sqrt(self.weight.shape[1]))
        return upsample2x(nn.functional.conv2d(x, weight.to(x.dtype)), self.resample_filter)


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
        fork: Fork = Fork(),  # noqa: B008, immutable
        last: bool = True,
    ) -> None:
        super().__init__()
        if in_channels == 0:
            self.const = nn.Parameter(torch.randn(out_channels, *fork.size(resolution)))
        else:
            self.conv0 = SynthesisLayer(in_channels, out_channels, w_dim, resolution, 2, conv_clamp, fork)
        self.conv1 = SynthesisLayer(out_channels, out_channels, w_dim, resolution, 1, conv_clamp, fork)
        self.torgb = (
            ToRGB(out_channels, img_channels, w_dim, conv_clamp) if last or fork.architecture == "skip" else None
        )
        self.skip = Skip(in_channels, out_channels, fork) if in_channels and fork.architecture == "resnet" else None
        self.register_buffer("resample_filter", binomial_filter(fork.resample_filter))
        self.num_conv = 1 if in_channels == 0 else 2

    def forward(
        self, x: Tensor, ws: Float[Tensor, "batch layers w_dim"], noise_mode: NoiseMode
    ) -> tuple[Tensor, list[Tensor]]:
        """What the next block goes on from, and the outputs of the layers."""
        if self.num_conv == 1:
            x = self.conv1(x, ws[:, 0], noise_mode)
            return x, [x]
        first = self.conv0(x, ws[:, 0], noise_mode)
        if self.skip is None:
            second = self.conv1(first, ws[:, 1], noise_mode)
        else:
            second = self.skip(x) + self.conv1(first, ws[:, 1], noise_mode, gain=SQRT_HALF)
        return second, [first, second]


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
        channels: Sequence[int] | None = None,
        fork: Fork = Fork(),  # noqa: B008, immutable
    ) -> None:
        super().__init__()
        self.resolutions, self.fork = block_resolutions(img_resolution), fork
        self.half_resolutions, self.half_dtype = 0, torch.bfloat16
        in_channels, self.num_ws, self.feature_channels = 0, 1, list[int]()
        for i, resolution in enumerate(self.resolutions):
            out_channels = channels_at(resolution, channel_base, channel_max) if channels is None else channels[i]
            last = resolution == img_resolution
            block = SynthesisBlock(in_channels, out_channels, w_dim, resolution, img_channels, conv_clamp, fork, last)
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
            x, outputs = block(x, ws[:, index : index + block.num_conv], noise_mode)
            index += block.num_conv
            if features is not None:
                features.extend(outputs)
            if block.torgb is not None:
                rgb = block.torgb(x, ws[:, index])
                image = rgb if image is None else upsample2x(image, block.resample_filter) + rgb
        if image is None:
            raise ValueError("a synthesis network has at least one block")
        return image


class Generator(nn.Module):
    """Mapping and synthesis. ``config`` holds the keyword arguments that rebuild the network.

    ``rare``: the last settings of ``NetworkConfig``.
    """

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
        **rare: Any,
    ) -> None:
        super().__init__()
        given = {k: v for k, v in locals().items() if k not in ("self", "__class__", "rare")}
        config = NetworkConfig.from_dict(given | rare)
        self.config: dict[str, Any] = config.to_dict()
        self.z_dim, self.c_dim, self.w_dim = z_dim, c_dim, w_dim
        self.img_resolution, self.img_channels = img_resolution, img_channels
        start = (config.start[0], config.start[1])
        fork = Fork(start, config.architecture, config.use_noise, tuple(config.resample_filter))
        self.synthesis = Synthesis(
            w_dim, img_resolution, img_channels, channel_base, channel_max, conv_clamp, config.channels, fork
        )
        self.num_ws = self.synthesis.num_ws
        self.mapping = Mapping(z_dim, c_dim, w_dim, self.num_ws, mapping_layers, config.mapping_lr, config.joint_norm)

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


def set_precision(network: Generator | Discriminator, dtype: torch.dtype, num_resolutions: int | None = None) -> None:
    """Runs the highest ``num_resolutions`` blocks (all of them if None) in ``dtype``; float32 switches back."""
    body = network.synthesis if isinstance(network, Generator) else network
    body.half_dtype = dtype
    body.half_resolutions = (
        0 if dtype == torch.float32 else len(body.resolutions) if num_resolutions is None else num_resolutions
    )
