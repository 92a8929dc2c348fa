"""StyleGAN2-ADA's networks with the official parameter names (arXiv 1912.04958, 2006.06676): the generator, and the
face of both."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from labelfactory.factory.stylegan2_ada.discriminator import Discriminator, minibatch_std
from labelfactory.factory.stylegan2_ada.mapping import FullyConnected, Mapping, block_resolutions, channels_at
from labelfactory.factory.stylegan2_ada.ops import LRELU_GAIN, binomial_filter, leaky_relu, modulated_conv2d, upsample2x
from labelfactory.interpreters.array_types import Float

__all__ = ["Discriminator", "Generator", "block_resolutions", "minibatch_std", "set_precision"]

NoiseMode = str  # "const" | "random" | "none"


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


def set_precision(network: Generator | Discriminator, dtype: torch.dtype, num_resolutions: int | None = None) -> None:
    """Runs the highest ``num_resolutions`` blocks (all of them if None) in ``dtype``; float32 switches back."""
    body = network.synthesis if isinstance(network, Generator) else network
    body.half_dtype = dtype
    body.half_resolutions = (
        0 if dtype == torch.float32 else len(body.resolutions) if num_resolutions is None else num_resolutions
    )
