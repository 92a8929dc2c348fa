"""StyleGAN's generator (Karras et al., arXiv 1812.04948) in plain PyTorch.

Weights are those that are multiplied with: scales of the equalised learning rate are in them already (``weights.py``).
"""

from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from labelfactory.errors import InputError
from labelfactory.interpreters.array_types import Float

SLOPE = 0.2  # of the leaky rectifiers
COARSE = 8  # layers from 4 to 32 px: truncation is of these alone (appendix B)


@dataclass(frozen=True)
class Config:
    """What fixes the arithmetic.

    channels          of each resolution from 4 px on
    epsilon           below the root of a feature map's variance
    bias_before_blur  of the layers that upsample: in the convolution, as rosinality has it, or after the noise
    """

    z_dim: int
    c_dim: int
    w_dim: int
    mapping_layers: int
    img_channels: int
    channels: tuple[int, ...]
    epsilon: float = 1e-8
    bias_before_blur: bool = False

    def __post_init__(self) -> None:
        whole = {"z_dim": self.z_dim, "w_dim": self.w_dim, "mapping_layers": self.mapping_layers}
        whole |= {f"channels of {4 << i} px": count for i, count in enumerate(self.channels)}
        for name, value in whole.items():
            if type(value) is not int or not 1 <= value <= 8192:
                raise InputError(f"network config: {name} is {value!r}; expected a whole number from 1 to 8192")
        if type(self.c_dim) is not int or not 0 <= self.c_dim <= 100_000:
            raise InputError(f"network config: c_dim is {self.c_dim!r}; expected a whole number from 0 to 100000")
        if type(self.img_channels) is not int or not 1 <= self.img_channels <= 4 or not 1 <= len(self.channels) <= 11:
            raise InputError("network config: expected 1 to 4 channels of pictures, and 1 to 11 resolutions")
        if type(self.epsilon) is not float or not 0 < self.epsilon < 1 or type(self.bias_before_blur) is not bool:
            raise InputError("network config: expected an epsilon between 0 and 1, and bias_before_blur true or false")

    @classmethod
    def of(cls, values: dict[str, Any]) -> "Config":
        """From a file of ours; ``InputError`` names what is missing, unknown or out of range."""
        channels = values.get("channels")
        try:
            return cls(**values | {"channels": tuple(channels) if isinstance(channels, list) else ()})
        except TypeError as error:
            raise InputError(f"network config: {str(error).split('() ')[-1]}") from None

    @property
    def resolution(self) -> int:
        return 4 << (len(self.channels) - 1)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def _normalised(x: Float[Tensor, "batch features"]) -> Float[Tensor, "batch features"]:
    return x * (x.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()


class Mapping(nn.Module):
    """z, beside it the class label's embedding where there are classes, to w (section 2)."""

    w_avg: Tensor

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.layers, self.num_ws = config.mapping_layers, 2 * len(config.channels)
        inputs = config.z_dim
        if config.c_dim:
            self.embed = nn.Parameter(torch.zeros(config.c_dim, config.z_dim))
            inputs += config.z_dim
        for i in range(config.mapping_layers):
            setattr(self, f"fc{i}", nn.Linear(inputs if i == 0 else config.w_dim, config.w_dim))
        self.register_buffer("w_avg", torch.zeros(config.w_dim))

    def forward(
        self, z: Float[Tensor, "batch z_dim"], c: Float[Tensor, "batch classes"] | None, truncation_psi: float = 1.0
    ) -> Float[Tensor, "batch num_ws w_dim"]:
        x = z if c is None else torch.cat([z, c @ self.embed], dim=1)
        x = _normalised(x)
        for i in range(self.layers):
            x = F.leaky_relu(getattr(self, f"fc{i}")(x), SLOPE)
        ws = x[:, None].repeat(1, self.num_ws, 1)
        if truncation_psi != 1:
            ws = torch.cat([self.w_avg.lerp(ws[:, :COARSE], truncation_psi), ws[:, COARSE:]], dim=1)
        return ws


class Layer(nn.Module):
    """A convolution (none at the constant), noise, bias, rectifier, and AdaIN (equation 1)."""

    noise_const: Tensor

    def __init__(self, config: Config, inputs: int, channels: int, resolution: int, kind: str) -> None:
        super().__init__()
        self.kind, self.epsilon, self.early_bias = kind, config.epsilon, config.bias_before_blur and kind == "up"
        if kind != "constant":
            self.weight = nn.Parameter(torch.randn(channels, inputs, 3, 3))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.noise = nn.Parameter(torch.zeros(channels))
        self.register_buffer("noise_const", torch.zeros(resolution, resolution))
        self.style = nn.Linear(config.w_dim, 2 * channels)

    def forward(self, x: Tensor, w: Float[Tensor, "batch w_dim"], dtype: torch.dtype) -> Tensor:
        bias = self.bias[:, None, None]
        if self.kind == "up":
            x = F.interpolate(x, scale_factor=2, mode="nearest")
        if self.kind != "constant":
            x = F.conv2d(x.to(dtype), self.weight.to(dtype), padding=1).float()
        if self.kind == "up":
            x = _blurred(x + bias if self.early_bias else x)
        x = x + self.noise_const * self.noise[:, None, None]
        x = F.leaky_relu(x if self.early_bias else x + bias, SLOPE)
        x = x - x.mean(dim=(2, 3), keepdim=True)
        x = x * (x.square().mean(dim=(2, 3), keepdim=True) + self.epsilon).rsqrt()
        scale, shift = self.style(w)[:, :, None, None].chunk(2, dim=1)
        return x * scale + shift


def _blurred(x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch channels height width"]:
    """The binomial filter (1, 2, 1) both ways, zeros around the picture."""
    row = torch.tensor([0.25, 0.5, 0.25], dtype=x.dtype, device=x.device)
    kernel = torch.outer(row, row).expand(x.shape[1], 1, 3, 3)
    return F.conv2d(x, kernel, padding=1, groups=x.shape[1])


class Synthesis(nn.Module):
    """A learnt constant, then two layers a resolution; the last resolution becomes the picture."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.dtype = torch.float32  # of the convolutions
        self.const = nn.Parameter(torch.randn(config.channels[0], 4, 4))
        self.names: list[str] = []
        before = config.channels[0]
        for i, channels in enumerate(config.channels):
            for k, kind in enumerate(("up" if i else "constant", "same")):
                self.names.append(f"b{4 << i}_{k}")
                setattr(self, self.names[-1], Layer(config, before, channels, 4 << i, kind))
                before = channels
        self.torgb = nn.Conv2d(before, config.img_channels, 1)

    def layers(self) -> list[Layer]:
        return [getattr(self, name) for name in self.names]

    def forward(
        self,
        ws: Float[Tensor, "batch num_ws w_dim"],
        noise_mode: str = "const",
        features: list[Tensor] | None = None,
    ) -> Float[Tensor, "batch channels height width"]:
        """``features`` collects what each AdaIN gives. The noise is always the constant one (``noise_mode``)."""
        x = self.const.expand(len(ws), -1, -1, -1)
        for layer, w in zip(self.layers(), ws.unbind(dim=1), strict=True):
            x = layer(x, w, self.dtype)
            if features is not None:
                features.append(x)
        return self.torgb(x)


class Generator(nn.Module):
    """``mapping`` and ``synthesis``."""

    def __init__(self, **config: Any) -> None:
        super().__init__()
        self.config = Config.of(config | {"channels": list(config["channels"])})
        self.mapping, self.synthesis = Mapping(self.config), Synthesis(self.config)
