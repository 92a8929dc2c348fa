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
        _check_numbers({field.name: getattr(self, field.name) for field in fields(self)})
        resolution, base = getattr(self, "img_resolution", 4), getattr(self, "channel_base", 4)
        if resolution & (resolution - 1):
            raise InputError(f"network config: img_resolution is {resolution}; expected a power of two")
        if base < resolution:
            raise InputError(f"network config: channel_base is {base}; expected at least the resolution {resolution}")

    def to_dict(self) -> dict[str, Any]:
        """Plain values: the arguments of the network, and what a file's header holds; rare ones where they differ."""
        values = asdict(self)
        rare = {field.name: field.default for field in fields(self) if field.name in RARE}
        kept = {name: value for name, value in values.items() if name not in rare or value != rare[name]}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in kept.items()}

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
        for name in ("start", "channels", "resample_filter"):  # lists in files
            if isinstance(values.get(name), list):
                values = values | {name: tuple(values[name])}
        _check_numbers(values)
        _check_rest(values)
        try:
            return cls(**values)
        except TypeError as error:
            raise InputError(f"network config: {str(error).split('() ')[-1]}") from None


def _check_numbers(values: dict[str, Any]) -> None:
    for name, value in values.items():
        rule = _RULES.get(name)
        if rule is None or (value is None and rule.get("optional")):
            continue
        low, high = rule.get("low", 1), rule.get("high", MAX_WIDTH)
        kinds = (int, float) if rule.get("real") else (int,)
        if type(value) not in kinds or not low <= value <= high:
            kind = "a number" if rule.get("real") else "a whole number"
            raise InputError(f"network config: {name} is {value!r}; expected {kind} from {low} to {high}")


def _check_rest(values: dict[str, Any]) -> None:
    """Kinds of what is no number."""
    for name, value in values.items():
        kind = _KINDS.get(name)
        if kind is not None and type(value) is not kind and not (value is None and name == "channels"):
            raise InputError(f"network config: {name} is {value!r}; expected {_SAID[kind]}")


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
    "mapping_lr": {"real": True, "low": 1e-6, "high": 1e3},
}
_KINDS: dict[str, type] = {"start": tuple, "channels": tuple, "resample_filter": tuple, "architecture": str}
_KINDS |= {"use_noise": bool, "joint_norm": bool}
_SAID = {tuple: "a list of numbers", str: "a word", bool: "true or false"}
RARE = (
    "start",
    "channels",
    "architecture",
    "mapping_lr",
    "use_noise",
    "resample_filter",
    "joint_norm",
)  # parts that few forks change
ARCHITECTURES = ("skip", "orig", "resnet")


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
    start              height and width of the learned constant; pictures have its shape
    channels           feature maps of each resolution from 4 up, where they follow no rule; else None
    architecture       "skip" (every resolution adds to the picture), "orig" or "resnet" (the last one makes it)
    mapping_lr         factor of the mapping network's weights
    use_noise          noise inputs
    resample_filter    taps of the low-pass filter along an axis, an even number of them, symmetric
    joint_norm         latent and embedded class are normalised together, as StyleGAN2 had it before ADA
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
    start: tuple[int, ...] = (4, 4)
    channels: tuple[int, ...] | None = None
    architecture: str = "skip"
    mapping_lr: float = 0.01
    use_noise: bool = True
    resample_filter: tuple[float | int, ...] = (1, 3, 3, 1)
    joint_norm: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        taps = self.resample_filter
        whole = [*self.start, *(self.channels or ())]
        if len(self.start) != 2 or not all(type(n) is int and 1 <= n <= MAX_WIDTH for n in whole):
            raise InputError(f"network config: start {self.start}, channels {self.channels}: expected whole numbers")
        if self.channels is not None and len(self.channels) != self.img_resolution.bit_length() - 2:
            raise InputError(f"network config: channels {self.channels}: expected one for each resolution from 4 up")
        if self.architecture not in ARCHITECTURES or type(self.use_noise) is not bool:
            raise InputError(f"network config: architecture {self.architecture!r}: expected {', '.join(ARCHITECTURES)}")
        numbers = all(type(tap) in (int, float) and abs(tap) < 1e6 for tap in taps)
        if len(taps) not in (2, 4, 6) or not numbers or tuple(taps) != tuple(taps[::-1]) or not sum(taps):
            raise InputError(f"network config: resample_filter {taps}: expected 2, 4 or 6 taps that are symmetric")


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
