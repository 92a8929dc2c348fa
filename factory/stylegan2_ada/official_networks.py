"""The configs of an official pickle's networks, from what they were made with and from their weights."""

import re
from typing import Any

from labelfactory.errors import InputError
from labelfactory.factory.checkpoints.contents import Network
from labelfactory.factory.checkpoints.passive_pickle import ModuleRecord
from labelfactory.factory.stylegan2_ada.config import DiscriminatorConfig, NetworkConfig
from labelfactory.factory.stylegan2_ada.shapes import channels_of, filter_of, generator_shapes, resolutions, start_of

# Parts of the architecture that this implementation has in one form only; another value in a file is refused by name.
_FIXED = {"activation": "lrelu", "mbstd_num_channels": 1}
_MAX_DEPTH = 6


def _settings(record: ModuleRecord, positional: tuple[str, ...]) -> dict[str, Any]:
    """The arguments that the network was made with, nested ones (``synthesis_kwargs`` …) laid flat."""
    args = record.state.get("_init_args")
    given = dict(zip(positional, args if isinstance(args, list | tuple) else (), strict=False))
    given.update(record.table("_init_kwargs"))
    for nested in ("synthesis_kwargs", "block_kwargs", "epilogue_kwargs"):
        inner = given.pop(nested, None)
        if isinstance(inner, dict):
            given.update(inner)
    mapping = given.pop("mapping_kwargs", None)
    if isinstance(mapping, dict):
        given.update({name: value for name, value in mapping.items() if name not in ("activation",)})
        given["mapping_activation"] = mapping.get("activation", "lrelu")
    fixed = _FIXED | {"mapping_activation": "lrelu"}
    for name, expected in fixed.items():
        value = given.get(name, expected)
        if (list(value) if isinstance(value, tuple) else value) != expected:
            raise InputError(f"checkpoint's {record.class_name} has {name} = {value!r}; only {expected!r} is supported")
    return given


def _clamp(record: ModuleRecord, given: dict[str, Any]) -> float | None:
    """As the layers hold it: its default differs between official versions."""
    found: list[Any] = []

    def visit(module: ModuleRecord, depth: int) -> None:
        if "conv_clamp" in module.state:
            found.append(module.state["conv_clamp"])
        elif depth < _MAX_DEPTH and not found:
            for child in module.table("_modules").values():
                if isinstance(child, ModuleRecord) and not found:
                    visit(child, depth + 1)

    visit(record, 0)
    clamp = found[0] if found else given.get("conv_clamp")
    return float(clamp) if type(clamp) is int else clamp


def _mapping_layers(network: Network, given: dict[str, Any]) -> Any:
    """Counted where they are, else as given: a discriminator without classes has none."""
    counted = [name for name in network.names if re.fullmatch(r"mapping\.fc\d+\.weight", name)]
    return len(counted) or given.get("num_layers", 8)


def generator_config(network: Network) -> NetworkConfig:
    """Config of an official ``Generator``; ``InputError`` where a part is missing or unsupported.

    What a fork changed is read from the weights: the constant's shape, the filter, channels that follow no rule.
    """
    record = network.record
    if record is None:
        return NetworkConfig.from_dict(generator_shapes(network.tensors))
    names = ("z_dim", "c_dim", "w_dim", "img_resolution", "img_channels", "mapping_kwargs", "synthesis_kwargs")
    given = _settings(record, names)
    if type(given.get("img_resolution")) is not int:  # forks of other shapes name height and width
        given.pop("img_resolution", None)
        if levels := resolutions(network.names, r"synthesis\.b(\d+)\."):
            given["img_resolution"] = levels[-1]
    missing = [name for name in names[:5] if name not in given]
    if missing:
        raise InputError(f"checkpoint's {record.class_name} does not say its {', '.join(missing)}")
    base, most = given.get("channel_base", 32768), given.get("channel_max", 512)
    rare: dict[str, Any] = start_of(network.tensors) | filter_of(network.tensors)
    levels = resolutions(network.names, r"synthesis\.b(\d+)\.")
    if levels and levels[-1] == given["img_resolution"] and type(base) is type(most) is int:
        rare |= channels_of(network.tensors, levels, base, most)
    numbers = {name: given[name] for name in names[:5]} | {"channel_base": base, "channel_max": most}
    numbers |= {"mapping_layers": _mapping_layers(network, given), "conv_clamp": _clamp(record, given)}
    numbers |= {"architecture": given.get("architecture", "skip"), "use_noise": given.get("use_noise", True)}
    return NetworkConfig.from_dict(numbers | {"mapping_lr": given.get("lr_multiplier", 0.01)} | rare)


def discriminator_config(network: Network) -> DiscriminatorConfig:
    """Config of an official ``Discriminator``; ``InputError`` where a part is missing or unsupported."""
    record = network.record
    if record is None:
        raise InputError("checkpoint's discriminator does not say what it is")
    names = ("c_dim", "img_resolution", "img_channels", "architecture", "channel_base", "channel_max")
    given = _settings(record, names)
    missing = [name for name in names[:3] if name not in given]
    if missing:
        raise InputError(f"checkpoint's {record.class_name} does not say its {', '.join(missing)}")
    if given.get("architecture", "resnet") != "resnet":
        raise InputError(
            f"checkpoint's discriminator has architecture {given['architecture']!r}; only 'resnet' is supported"
        )
    out = network.tensors.get("b4.out.weight")
    return DiscriminatorConfig(
        **{name: given[name] for name in names[:3]},
        channel_base=given.get("channel_base", 32768),
        channel_max=given.get("channel_max", 512),
        conv_clamp=_clamp(record, given),
        mbstd_group_size=given.get("mbstd_group_size", 4),
        cmap_dim=None if not given["c_dim"] or out is None or out.ndim == 0 else int(out.shape[0]),
        mapping_layers=_mapping_layers(network, given),
    )
