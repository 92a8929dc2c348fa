"""From the passive records of an official pickle to a config and named tensors."""

import re
from typing import Any

import torch
from torch import Tensor

from labelfactory.errors import InputError
from labelfactory.factory.stylegan2_ada.config import DiscriminatorConfig, NetworkConfig
from labelfactory.factory.stylegan2_ada.official_pickle import ModuleRecord

# Parts of the architecture that this implementation has in one form only; another value in a file is refused by name.
_FIXED = {
    "activation": "lrelu",
    "resample_filter": [1, 3, 3, 1],
    "use_noise": True,
    "lr_multiplier": 0.01,
    "mbstd_num_channels": 1,
}
_MAX_DEPTH, _MAX_TENSORS = 6, 10_000


def named_tensors(record: ModuleRecord) -> dict[str, Tensor]:
    """Parameters and buffers under their full names, as float32."""
    tensors: dict[str, Tensor] = {}

    def visit(module: ModuleRecord, prefix: str, depth: int) -> None:
        if depth > _MAX_DEPTH:
            raise InputError("checkpoint refused: its modules are nested deeper than StyleGAN2-ADA's")
        for table in ("_parameters", "_buffers"):
            for name, value in module.table(table).items():
                if isinstance(value, Tensor):
                    if len(tensors) >= _MAX_TENSORS:
                        raise InputError(f"checkpoint refused: it holds more than {_MAX_TENSORS} tensors")
                    tensors[f"{prefix}{name}"] = value.detach().to(torch.float32)
        for name, child in module.table("_modules").items():
            if isinstance(child, ModuleRecord):
                visit(child, f"{prefix}{name}.", depth + 1)

    visit(record, "", 0)
    return tensors


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


def _width(record: ModuleRecord, name: str) -> int | None:
    """Extent 0 of a tensor below the record, such as ``b4.fc.weight``."""
    tensor = named_tensors(record).get(name)
    return None if tensor is None or tensor.ndim == 0 else int(tensor.shape[0])


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


def _mapping_layers(record: ModuleRecord, given: dict[str, Any]) -> Any:
    """Counted where they are, else as given: a discriminator without classes has none."""
    counted = [name for name in named_tensors(record) if re.fullmatch(r"mapping\.fc\d+\.weight", name)]
    return len(counted) or given.get("num_layers", 8)


def generator_config(record: ModuleRecord) -> NetworkConfig:
    """Config of an official ``Generator``; ``InputError`` where a part is missing or unsupported."""
    names = ("z_dim", "c_dim", "w_dim", "img_resolution", "img_channels", "mapping_kwargs", "synthesis_kwargs")
    given = _settings(record, names)
    missing = [name for name in names[:5] if name not in given]
    if missing:
        raise InputError(f"checkpoint's {record.class_name} does not say its {', '.join(missing)}")
    if given.get("architecture", "skip") != "skip":
        raise InputError(f"checkpoint's generator has architecture {given['architecture']!r}; only 'skip' is supported")
    return NetworkConfig(
        **{name: given[name] for name in names[:5]},
        mapping_layers=_mapping_layers(record, given),
        channel_base=given.get("channel_base", 32768),
        channel_max=given.get("channel_max", 512),
        conv_clamp=_clamp(record, given),
    )


def discriminator_config(record: ModuleRecord) -> DiscriminatorConfig:
    """Config of an official ``Discriminator``; ``InputError`` where a part is missing or unsupported."""
    names = ("c_dim", "img_resolution", "img_channels", "architecture", "channel_base", "channel_max")
    given = _settings(record, names)
    missing = [name for name in names[:3] if name not in given]
    if missing:
        raise InputError(f"checkpoint's {record.class_name} does not say its {', '.join(missing)}")
    if given.get("architecture", "resnet") != "resnet":
        raise InputError(
            f"checkpoint's discriminator has architecture {given['architecture']!r}; only 'resnet' is supported"
        )
    return DiscriminatorConfig(
        **{name: given[name] for name in names[:3]},
        channel_base=given.get("channel_base", 32768),
        channel_max=given.get("channel_max", 512),
        conv_clamp=_clamp(record, given),
        mbstd_group_size=given.get("mbstd_group_size", 4),
        cmap_dim=_width(record, "b4.out.weight") if given["c_dim"] else None,
        mapping_layers=_mapping_layers(record, given),
    )
