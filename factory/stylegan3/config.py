"""The numbers that fix a StyleGAN3 generator, and the layers that follow from them (arXiv 2106.12423, section 3.2)."""

import math
from dataclasses import asdict, dataclass, fields
from typing import Any, NamedTuple

from labelfactory.errors import InputError

_RANGES: dict[str, tuple[float, float]] = {
    "z_dim": (1, 8192), "c_dim": (0, 100_000), "w_dim": (1, 8192), "img_resolution": (16, 4096), "img_channels": (1, 4),
    "mapping_layers": (1, 64), "channel_base": (1, 2**20), "channel_max": (1, 8192), "num_layers": (3, 64),
    "num_critical": (1, 16), "first_cutoff": (0.1, 1000), "first_stopband": (0.1, 1000),
    "last_stopband_rel": (1, 8), "margin_size": (0, 64), "output_scale": (1e-3, 1e3), "num_fp16_res": (0, 16),
    "conv_kernel": (1, 9), "filter_size": (2, 32), "lrelu_upsampling": (1, 8), "conv_clamp": (1e-3, 1e9),
}  # fmt: skip


@dataclass(frozen=True)
class Config:
    """A generator, as official configurations name its parts. T is the default; R has ``conv_kernel`` 1, radial filters
    and twice the channels.

    first_cutoff, first_stopband, last_stopband_rel
                      frequencies of the first layer, and of the last in units of half the resolution
    num_critical      layers at the end whose sampling is critical (crisp instead of alias-free)
    margin_size       samples that layers have around the picture, on each side
    lrelu_upsampling  how much finer a layer's nonlinearity is computed
    filter_size       taps of a low-pass filter, for each time that it makes finer or coarser
    num_fp16_res      octaves of the highest sampling rates that may run in half precision
    """

    z_dim: int
    c_dim: int
    w_dim: int
    img_resolution: int
    img_channels: int
    mapping_layers: int = 2
    channel_base: int = 32768
    channel_max: int = 512
    num_layers: int = 14
    num_critical: int = 2
    first_cutoff: float = 2.0
    first_stopband: float = 2**2.1
    last_stopband_rel: float = 2**0.3
    margin_size: int = 10
    output_scale: float = 0.25
    num_fp16_res: int = 4
    conv_kernel: int = 3
    filter_size: int = 6
    lrelu_upsampling: int = 2
    use_radial_filters: bool = False
    conv_clamp: float | None = 256.0

    def __post_init__(self) -> None:
        self._check(asdict(self))
        if self.img_resolution & (self.img_resolution - 1):
            raise InputError(f"network config: img_resolution is {self.img_resolution}; expected a power of two")
        if self.num_critical >= self.num_layers:
            raise InputError(f"network config: {self.num_critical} critical layers of {self.num_layers}")

    @classmethod
    def _check(cls, values: dict[str, Any]) -> None:
        kinds = {field.name: field.type for field in fields(cls)}
        for name, value in values.items():
            if name == "use_radial_filters" or (name == "conv_clamp" and value is None):
                continue
            (low, high), whole = _RANGES[name], kinds[name] is int
            if type(value) not in ((int,) if whole else (int, float)) or not low <= value <= high:
                kind = "a whole number" if whole else "a number"
                raise InputError(f"network config: {name} is {value!r}; expected {kind} from {low:g} to {high:g}")
        if type(values.get("use_radial_filters", False)) is not bool:
            raise InputError(
                f"network config: use_radial_filters is {values['use_radial_filters']!r}; expected a truth"
            )

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(cls, values: dict[str, Any]) -> "Config":
        """From a file's settings; ``InputError`` names one that this implementation does not know."""
        known = {field.name: field.type for field in fields(cls)}
        unknown = sorted(str(name) for name in values if name not in known)
        if unknown:
            raise InputError(f"network config: unknown setting {', '.join(unknown)}")
        cls._check(values)
        given: dict[str, Any] = {
            k: float(v) if type(v) is int and known[k] is not int else v for k, v in values.items()
        }
        return cls(**given)


class LayerPlan(NamedTuple):
    """What comes out of a layer: samples a side with its margin, those that the picture has, frequencies, channels."""

    name: str
    size: int
    rate: int
    cutoff: float
    half_width: float
    channels: int
    critical: bool
    half_precision: bool


def plan(config: Config) -> list[LayerPlan]:
    """Layers 0 to L, the last of which makes the picture (equations of section 3.2 and appendix C.1)."""
    c, last = config, config.num_layers
    layers = []
    for i in range(last + 1):
        e = min(i / (last - c.num_critical), 1)
        cutoff = c.first_cutoff * (c.img_resolution / 2 / c.first_cutoff) ** e
        stopband = c.first_stopband * (c.img_resolution / 2 * c.last_stopband_rel / c.first_stopband) ** e
        rate = 2 ** math.ceil(math.log2(min(2 * stopband, c.img_resolution)))
        size = c.img_resolution if i >= last - 1 else rate + 2 * c.margin_size
        channels = c.img_channels if i == last else round(min(c.channel_base / 2 / cutoff, c.channel_max))
        half = rate * 2**c.num_fp16_res > c.img_resolution
        layers.append(
            LayerPlan(
                f"L{i}_{size}_{channels}",
                size,
                rate,
                cutoff,
                max(stopband, rate / 2) - cutoff,
                channels,
                i >= last - c.num_critical,
                half,
            )
        )
    return layers
