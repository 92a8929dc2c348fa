"""Somebody's checkpoint written anew as one of ours, with what its file does not say."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from labelfactory.errors import InputError
from labelfactory.factory.parameter import Parameter, check_fields


@dataclass(frozen=True)
class ConversionOrder:
    """A checkpoint whose network's settings are complete."""

    generator: Annotated[str, Parameter("Checkpoint of a StyleGAN, of any make.", place=True)]
    out: Annotated[Path, Parameter("File of the generator (.safetensors).", place=True, writes="file")]
    config: Annotated[
        dict[str, Any],
        Parameter(
            "Setting that the checkpoint does not say, like mapping_lr=0.1 or resolution=256; repeatable.",
            form="NAME=VALUE",
        ),
    ] = field(default_factory=dict)
    features: Annotated[
        str,
        Parameter(
            "Feature maps that interpreters of the file read.",
            choices={"generator": "", "discriminator": "StyleGAN2's, which sees photographs too"},
        ),
    ] = "generator"

    def __post_init__(self) -> None:
        check_fields(self)


def convert(order: ConversionOrder) -> list[str]:
    """Writes the generator and its discriminator; lines for a person: what it is, what was assumed.

    Raises ``InputError`` for a checkpoint that no StyleGAN's family opens, or settings that do not fit its weights.
    """
    from labelfactory.factory.discriminator.family import NAME as DISCRIMINATOR
    from labelfactory.factory.families import FAMILIES, family, open_generator
    from labelfactory.factory.style_based import StyleBased

    opened = open_generator(order.generator, "cpu", config=_lists(order.config))
    if not isinstance(opened, StyleBased):
        raise InputError(
            f"{order.generator}: says all of itself; it is taken as it is wherever a generator is asked for"
        )
    name = next(name for name in FAMILIES if type(opened) is family(name))
    if order.features == "discriminator":
        if name != "stylegan2" or not opened.perceptive:
            raise InputError(f"{order.generator}: has no discriminator of StyleGAN2 that looks at its pictures")
        name = DISCRIMINATOR
    metadata = {**opened.metadata, "converted_from": opened.sha256}
    opened.save(order.out, name, metadata)
    height, width = opened.size
    kind = f"{name}, {height} x {width} pixels, {opened.image_channels} channels, {opened.num_classes} classes"
    return [f"{order.out}: {kind}", *(f"{k}: {v}" for k, v in metadata.items() if k in _TOLD)]


_TOLD = ("assumed", "w_avg", "weights", "discriminator")


def _lists(config: Mapping[str, Any]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in config.items()}
