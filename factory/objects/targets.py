"""The objects of a batch, as networks learn them: read from the map of object numbers, after augmentation."""

from dataclasses import dataclass

import torch
from torch import Tensor

from labelfactory.errors import InputError
from labelfactory.factory.pairs.augment import Batch
from labelfactory.interpreters.array_types import Bool, Float, Int
from labelfactory.limits import IGNORE_INDEX


@dataclass(frozen=True)
class Things:
    """All objects of a batch, in the order of their images.

    image, label: the image that each is in, its class id; centre: x, y of its pixels' mean; box: x0, y0, x1, y1, all in
    pixels, a pixel's centre at + 0.5. ``owner`` has 1 + the object's place for each pixel, 0 where there is none.
    """

    image: Int[Tensor, "objects"]
    label: Int[Tensor, "objects"]
    centre: Float[Tensor, "objects 2"]
    box: Float[Tensor, "objects 4"]
    owner: Int[Tensor, "batch height width"]

    def __len__(self) -> int:
        return len(self.image)

    @property
    def middle(self) -> Float[Tensor, "objects 2"]:
        """x, y of the boxes' middles."""
        return (self.box[:, :2] + self.box[:, 2:]) / 2

    def middle_pixels(self) -> tuple[Int[Tensor, "objects"], Int[Tensor, "objects"]]:
        """Row and column of the pixel that each middle lies in; on an edge of pixels the one before it."""
        columns, rows = (self.middle - 1e-4).floor().long().unbind(1)
        return rows, columns

    def masks(self, chosen: Int[Tensor, "some"] | None = None) -> Bool[Tensor, "some height width"]:
        """The mask of each object in its own image."""
        which = torch.arange(len(self), device=self.image.device) if chosen is None else chosen
        return self.owner[self.image[which]] == (which + 1)[:, None, None]

    def of(self, image: int) -> Int[Tensor, "some"]:
        """Places of one image's objects."""
        return (self.image == image).nonzero().squeeze(1)


def known_pixels(batch: Batch) -> Float[Tensor, "batch 1 height width"]:
    """How much each pixel counts: its weight, 0 where it is not labelled."""
    return ((batch.masks != IGNORE_INDEX) * batch.weights)[:, None]


def things_of(batch: Batch) -> Things:
    """The objects of a batch; the class of each is the commonest of its pixels."""
    if batch.objects is None:
        raise InputError("these pairs have no objects: give pairs with instances")
    b, y, x = (batch.objects > 0).nonzero(as_tuple=True)
    most = int(batch.objects.max()) + 1
    keys, place = torch.unique(b * most + batch.objects[b, y, x], return_inverse=True)
    n = len(keys)
    votes = torch.bincount(place * 256 + batch.masks[b, y, x], minlength=256 * n).reshape(n, 256)
    votes[:, IGNORE_INDEX] = 0
    xy = torch.stack([x, y], 1).float() + 0.5
    count = torch.bincount(place, minlength=n).clamp_min(1)
    centre = xy.new_zeros(n, 2).index_add_(0, place, xy) / count[:, None]
    both = place[:, None].expand(-1, 2)
    low = xy.new_full((n, 2), torch.inf).scatter_reduce(0, both, xy - 0.5, "amin")
    high = xy.new_full((n, 2), -torch.inf).scatter_reduce(0, both, xy + 0.5, "amax")
    known = votes.any(1)  # an object all of whose pixels are unlabelled is none
    number = torch.where(known, known.cumsum(0), 0)
    owner = torch.zeros_like(batch.objects)
    owner[b, y, x] = number[place]
    box = torch.cat([low, high], 1)
    return Things((keys // most)[known], votes.argmax(1)[known], centre[known], box[known], owner)


def heat_of(
    things: Things,
    channel: Int[Tensor, "objects"],
    channels: int,
    spread: Float[Tensor, "objects"],
    points: Float[Tensor, "objects 2"] | None = None,
) -> Float[Tensor, "batch channels height width"]:
    """exp(-d² / 2σ²) around each object's centre (or its point of ``points``), the highest of its channel's objects.

    The pixel that a point lies in gets exactly 1: distances are from that pixel's centre.
    """
    batch, height, width = things.owner.shape
    at = ((things.centre if points is None else points) - 1e-4).floor().clamp_min(0) + 0.5
    x = torch.arange(width, device=at.device) + 0.5
    y = torch.arange(height, device=at.device) + 0.5
    squared = (y[None, :, None] - at[:, 1, None, None]) ** 2 + (x[None, None] - at[:, 0, None, None]) ** 2
    own = torch.exp(-squared / (2 * spread[:, None, None] ** 2))
    heat = own.new_zeros(batch * channels, height, width)
    place = (things.image * channels + channel)[:, None, None].expand_as(own)
    heat.scatter_reduce_(0, place, own, "amax")
    return heat.reshape(batch, channels, height, width)
