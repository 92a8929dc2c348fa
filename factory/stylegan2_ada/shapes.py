"""A generator's or discriminator's config from the shapes of its weights, under the official names."""

import re
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from labelfactory.errors import InputError
from labelfactory.factory.stylegan2_ada.config import DiscriminatorConfig, NetworkConfig
from labelfactory.factory.stylegan2_ada.mapping import channels_at
from labelfactory.factory.stylegan2_ada.ops import binomial_filter


def extent(tensors: dict[str, Tensor], name: str, axis: int) -> int:
    """InputError where the tensor is missing or has fewer axes."""
    if name not in tensors or tensors[name].ndim <= axis:
        raise InputError(f"checkpoint's network has no {name}")
    return int(tensors[name].shape[axis])


def resolutions(names: Iterable[str], pattern: str) -> list[int]:
    return sorted({int(found[1]) for name in names if (found := re.match(pattern, name))})


def count(names: Iterable[str], pattern: str) -> int:
    return len([name for name in names if re.fullmatch(pattern, name)])


def generator_shapes(tensors: dict[str, Tensor], channel_base: int = 32768, channel_max: int = 512) -> dict[str, Any]:
    """Arguments of ``NetworkConfig`` that weights tell; the rule of channels where it gives those that are there."""
    levels = resolutions(tensors, r"synthesis\.b(\d+)\.")
    if not levels:
        raise InputError("checkpoint's network has no synthesis.b4")
    embedded = "mapping.embed.weight" in tensors
    w_dim = extent(tensors, "synthesis.b4.conv1.affine.weight", 1)
    found: dict[str, Any] = {
        "z_dim": extent(tensors, "mapping.fc0.weight", 1) - (w_dim if embedded else 0),
        "c_dim": extent(tensors, "mapping.embed.weight", 1) if embedded else 0,
        "w_dim": w_dim,
        "img_resolution": levels[-1],
        "img_channels": extent(tensors, f"synthesis.b{levels[-1]}.torgb.bias", 0),
        "mapping_layers": count(tensors, r"mapping\.fc\d+\.weight"),
        "use_noise": "synthesis.b4.conv1.noise_strength" in tensors,
    }
    rgb, skips = count(tensors, r"synthesis\.b\d+\.torgb\.bias"), count(tensors, r"synthesis\.b\d+\.skip\.weight")
    found["architecture"] = "resnet" if skips else "orig" if rgb == 1 < len(levels) else "skip"
    return found | start_of(tensors) | channels_of(tensors, levels, channel_base, channel_max) | filter_of(tensors)


def start_of(tensors: dict[str, Tensor]) -> dict[str, Any]:
    const = tensors.get("synthesis.b4.const")
    return {} if const is None or const.ndim != 3 else {"start": tuple(const.shape[1:])}


def channels_of(tensors: dict[str, Tensor], levels: list[int], channel_base: int, channel_max: int) -> dict[str, Any]:
    """``channel_base`` and ``channel_max`` where they, or their half or double, give what is there; else a list."""
    channels = [extent(tensors, f"synthesis.b{level}.conv1.bias", 0) for level in levels]
    for base in (channel_base, 16384, 32768, 65536, 8192, channels[-1] * levels[-1]):
        for most in (channel_max, 512, max(channels)):
            if base >= levels[-1] and channels == [channels_at(level, base, most) for level in levels]:
                return {"channel_base": base, "channel_max": most}
    return {"channel_base": max(channel_base, levels[-1]), "channel_max": channel_max, "channels": tuple(channels)}


def filter_of(tensors: dict[str, Tensor]) -> dict[str, Any]:
    """Taps of the low-pass filter in whole numbers where they are; the network's own where the file has none."""
    names = [name for name in tensors if name.endswith("resample_filter")]
    if not names:
        return {}
    fir = tensors[names[0]]
    if fir.ndim != 2 or fir.shape[0] != fir.shape[1] or not fir.isfinite().all() or not fir.abs().max() > 0:
        raise InputError(f"checkpoint's {names[0]} has shape {list(fir.shape)}; expected a square filter")
    row = fir.double().sum(0)
    row = row / row[0] if float(row[0]) else row
    taps = [round(float(tap), 4) for tap in row]
    own = tuple(int(tap) if tap == int(tap) else tap for tap in taps)
    outer = torch.outer(row, row)
    if float((outer / outer.sum() - fir.double() / fir.double().sum()).abs().max()) > 1e-4:
        raise InputError(f"checkpoint's {names[0]} is no product of a row and a column; that is not supported")
    return {"resample_filter": own}


def discriminator_shapes(tensors: dict[str, Tensor]) -> dict[str, Any]:
    """Arguments of ``DiscriminatorConfig`` that weights tell. InputError for one of another kind than residual."""
    levels = resolutions(tensors, r"b(\d+)\.(?:conv0|fromrgb|skip)\.")
    if not levels:
        raise InputError("checkpoint's discriminator has no residual blocks")
    last = extent(tensors, "b4.conv.bias", 0)
    found = [extent(tensors, f"b{level}.conv0.bias", 0) for level in levels]
    for base in (16384, 32768, 65536, 8192, found[-1] * levels[-1]):
        for most in (512, max(last, *found)):
            if [last, *found] == [channels_at(level, base, most) for level in (4, *levels)]:
                c_dim = extent(tensors, "mapping.embed.weight", 1) if "mapping.embed.weight" in tensors else 0
                return {
                    "c_dim": c_dim,
                    "img_resolution": levels[-1],
                    "img_channels": extent(tensors, f"b{levels[-1]}.fromrgb.weight", 1),
                    "channel_base": base,
                    "channel_max": most,
                    "cmap_dim": extent(tensors, "b4.out.weight", 0) if c_dim else None,
                    "mapping_layers": count(tensors, r"mapping\.fc\d+\.weight") or 8,
                }
    raise InputError("checkpoint's discriminator has channels that follow no rule")


def completed(
    tensors: dict[str, Tensor], config: NetworkConfig | DiscriminatorConfig, network: type[nn.Module]
) -> dict[str, Tensor]:
    """With the buffers that a file may lack: filters, and constant noise, which is then none."""
    with torch.device("meta"):
        expected = network(**config.to_dict()).state_dict()
    fir = binomial_filter(getattr(config, "resample_filter", (1, 3, 3, 1)))
    own = {name: fir for name in expected if name.endswith("resample_filter")}
    own |= {name: torch.zeros(value.shape) for name, value in expected.items() if name.endswith("noise_const")}
    return own | tensors
