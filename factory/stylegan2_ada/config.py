"""The numbers that fix the shape of a StyleGAN2-ADA generator and of its discriminator, checked."""

from dataclasses import asdict, dataclass, fields
from typing import Any, TypeVar

from labelfactory.errors import InputError

AnyConfig = TypeVar("AnyConfig", bound="_Config")
MAX_RESOLUTION = 4096
MAX_WIDTH = 8192


@dataclass(frozen=True)
class _Config:
    """What both networks share; ``InputError`` where a value is outside its range."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value, rule = getattr(self, field.name), _RULES[field.name]
            if value is None and rule.get("optional"):
                continue
            low, high = rule.get("low", 1), rule.get("high", MAX_WIDTH)
            kinds = (int, float) if rule.get("real") else (int,)
            if type(value) not in kinds or not low <= value <= high:
                kind = "a number" if rule.get("real") else "a whole number"
                raise InputError(f"network config: {field.name} is {value!r}; expected {kind} from {low} to {high}")
        resolution, base = getattr(self, "img_resolution", 4), getattr(self, "channel_base", 4)
        if resolution & (resolution - 1):
            raise InputError(f"network config: img_resolution is {resolution}; expected a power of two")
        if base < resolution:
            raise InputError(f"network config: channel_base is {base}; expected at least the resolution {resolution}")

    def to_dict(self) -> dict[str, Any]:
        """Plain values: the arguments of the network, and what a file's header holds."""
        return asdict(self)

    @classmethod
    def from_dict(cls: type[AnyConfig], values: Any) -> AnyConfig:
        """The config of a file's header; ``InputError`` names what is missing, unknown or out of range."""
        if not isinstance(values, dict):
            raise InputError(f"network config: expected a table of names and numbers, found {type(values).__name__}")
        known = [field.name for field in fields(cls)]
        unknown = sorted(str(name) for name in values if name not in known)
        if unknown:
            raise InputError(f"network config: unknown setting {', '.join(unknown)}")
        if type(values.get("conv_clamp")) is int:
            values = values | {"conv_clamp": float(values["conv_clamp"])}
        try:
            return cls(**values)
        except TypeError as error:
            raise InputError(f"network config: {str(error).split('() ')[-1]}") from None


_RULES: dict[str, dict[str, Any]] = {
    "z_dim": {},
    "c_dim": {"low": 0},
    "w_dim": {},
    "img_resolution": {"low": 4, "high": MAX_RESOLUTION},
    "img_channels": {"high": 256},
    "mapping_layers": {"high": 64},
    "channel_base": {"high": 2**20},
    "channel_max": {},
    "conv_clamp": {"real": True, "low": 1e-6, "high": 1e6, "optional": True},
    "mbstd_group_size": {"optional": True},
    "cmap_dim": {"optional": True},
}


@dataclass(frozen=True)
class NetworkConfig(_Config):
    """A generator, as the official configurations name its parts.

    z_dim              inputs of the mapping network
    c_dim              class labels, one-hot (0: unconditional)
    w_dim              size of a style vector
    img_resolution     width and height of the image, a power of two from 4 up
    img_channels       1 grey, 3 RGB
    mapping_layers     fully connected layers of the mapping network
    channel_base, channel_max
                       a layer at resolution r has min(channel_base // r, channel_max) feature maps
    conv_clamp         activations are clamped to +-this (None: not); half precision (float16) needs 256
    """

    z_dim: int
    c_dim: int
    w_dim: int
    img_resolution: int
    img_channels: int
    mapping_layers: int = 8
    channel_base: int = 32768
    channel_max: int = 512
    conv_clamp: float | None = None


@dataclass(frozen=True)
class DiscriminatorConfig(_Config):
    """A residual discriminator; names as in ``NetworkConfig`` and

    mbstd_group_size   samples per group of the minibatch standard deviation (None: the whole batch)
    cmap_dim           size of the mapped class label (None: the width of the last block)
    mapping_layers     fully connected layers between class label and its map
    """

    c_dim: int
    img_resolution: int
    img_channels: int
    channel_base: int = 32768
    channel_max: int = 512
    conv_clamp: float | None = None
    mbstd_group_size: int | None = 4
    cmap_dim: int | None = None
    mapping_layers: int = 8
