"""Feature maps grouped by size, each group with its columns of the first layer."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from interpreters.folding import Folded
from interpreters.shapes import Float


@dataclass(frozen=True)
class Level:
    """All maps of one size, as if they were one map of more channels."""

    height: int
    width: int
    maps: list[Float[Tensor, "batch _ height width"]]
    weight: Float[Tensor, "channels units"]
    bias: Float[Tensor, "units"]

    def vectors(self, image: int, rows: slice, columns: slice, dtype: torch.dtype) -> Float[Tensor, "pixels channels"]:
        """Feature vectors of a rectangle of pixels."""
        maps = [f[image, :, rows, columns].to(dtype) for f in self.maps]
        return (torch.cat(maps) if len(maps) > 1 else maps[0]).flatten(1).T


def split_levels(
    folded: Folded, feature_maps: Sequence[Tensor], size: tuple[int, int]
) -> tuple[list[Level], Level | None]:
    """The levels smaller than the output, smallest first, and the one of the output's size where there is one."""
    weights = folded.first.split([f.shape[1] for f in feature_maps])
    levels = []
    for h, w in sorted({(f.shape[2], f.shape[3]) for f in feature_maps}):
        chosen = [k for k, f in enumerate(feature_maps) if f.shape[2:] == (h, w)]
        weight = torch.cat([weights[k] for k in chosen]) if len(chosen) > 1 else weights[chosen[0]]
        levels.append(Level(h, w, [feature_maps[k] for k in chosen], weight, folded.first_bias[chosen].sum(0)))
    if (levels[-1].height, levels[-1].width) == size:
        return levels[:-1], levels[-1]
    return levels, None
