"""Siblings of a picture have its coarse styles and other fine ones. Where their labels disagree, none is to be trusted.

Two pictures that share their coarse styles (Karras et al., CVPR 2019, section 3.1: style mixing) share their layout and
differ in how it looks. An interpreter that goes by looks then says something else of the same place, which the
disagreement of its members need not show: all of them have learned from the same few images.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from labelfactory.array_types import UInt64
from labelfactory.errors import InputError
from labelfactory.factory.generator import ImageGenerator, Invertible
from labelfactory.factory.latents import sibling_latents
from labelfactory.factory.production.models import Models
from labelfactory.interpreters.array_types import Bool, UInt8
from labelfactory.storage import DatasetSpec


@dataclass(frozen=True)
class Siblings:
    """What a store says of them (``DatasetSpec.siblings``).

    count      siblings of each picture
    styles     share of the style layers, from the finest on, that are a sibling's own; above 0, below 1
    agreement  share of the siblings that have to say what the picture's own label says; above 0, at most 1
    """

    count: int
    styles: float
    agreement: float

    def own_layers(self, layers: int) -> int:
        """The style layers that are a sibling's own: at least one, and never all."""
        return min(max(round(self.styles * layers), 1), layers - 1)


def check_siblings(generator: ImageGenerator, where: str) -> None:
    """InputError where a generator has no layers of styles to mix."""
    if not isinstance(generator, Invertible) or generator.style_shape[0] < 2:
        raise InputError(f"{where}: this kind of generator has no styles, coarse and fine; leave siblings out")


def unstable(
    mask: UInt8[Tensor, "batch height width"], others: UInt8[Tensor, "siblings batch height width"], agreement: float
) -> Bool[Tensor, "batch height width"]:
    """Pixels of which fewer than a share ``agreement`` of the siblings say what the picture's own mask says."""
    agreeing = (others == mask).sum(0)
    return agreeing < agreement * len(others) - 1e-9  # a share such as 2/3 of 3 is 2, whatever floats make of it


def sibling_styles(
    generator: Invertible,
    ws: Tensor,
    seeds: UInt64[np.ndarray, "batch"],
    number: int,
    siblings: Siblings,
    truncation: float,
    classes: np.ndarray | None,
) -> Tensor:
    """Style vectors of sibling ``number`` (from 0 on) of every sample, whose own are ``ws``; of the sample's class."""
    fine = generator.map(sibling_latents(seeds.tolist(), number, generator.latent_shape), truncation, classes)
    own = siblings.own_layers(ws.shape[1])
    return torch.cat([ws[:, :-own], fine[:, -own:]], 1)


def unstable_labels(
    spec: DatasetSpec,
    models: Models,
    mask: UInt8[Tensor, "batch height width"],
    z: np.ndarray,
    seeds: UInt64[np.ndarray, "batch"],
    classes: np.ndarray | None,
) -> Bool[Tensor, "batch height width"]:
    """Where the interpreter says something else of a batch's siblings than of the batch, whose masks are given."""
    generator, (count, styles, agreement) = models.generator, spec.siblings
    siblings = Siblings(int(count), styles, agreement)
    assert isinstance(generator, Invertible)  # check_siblings
    own, others = generator.map(z, spec.truncation, classes), []
    for number in range(siblings.count):
        ws = sibling_styles(generator, own, seeds, number, siblings, spec.truncation, classes)
        maps = generator.generate(ws).feature_maps
        found = models.interpreter.predict(maps, spec.label_precision or "auto", crop=generator.crop)
        others.append(found.mask)
    return unstable(mask, torch.stack(others), siblings.agreement)
