"""Feature maps grouped by size, each group with its columns of the first layer."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from interpreters.folding import Folded
from interpreters.shapes import Float


@dataclass(frozen=True)
class Level:
    """All maps of one size, as if they were one map of more channels; some are seen in a few directions only."""

    height: int
    width: int
    maps: list[Float[Tensor, "batch _ height width"]]
    reducers: list[tuple[Tensor, Tensor] | None]
    weight: Float[Tensor, "inputs units"]
    bias: Float[Tensor, "units"]

    def inputs(self, image: int, rows: slice, columns: slice, dtype: torch.dtype) -> Float[Tensor, "pixels inputs"]:
        """What members see of a rectangle of pixels."""
        maps = [f[image, :, rows, columns].to(dtype).flatten(1) for f in self.maps]
        seen = [
            f if reducer is None else torch.addmm(reducer[1], reducer[0], f)
            for f, reducer in zip(maps, self.reducers, strict=True)
        ]
        return (torch.cat(seen) if len(seen) > 1 else seen[0]).T


def split_levels(
    folded: Folded, feature_maps: Sequence[Tensor], size: tuple[int, int]
) -> tuple[list[Level], Level | None]:
    """The levels smaller than the output, smallest first, and the one of the output's size where there is one."""
    seen = [f.shape[1] if r is None else len(r[1]) for f, r in zip(feature_maps, folded.reducers, strict=True)]
    weights = folded.first.split(seen)
    levels = []
    for h, w in sorted({(f.shape[2], f.shape[3]) for f in feature_maps}):
        chosen = [k for k, f in enumerate(feature_maps) if f.shape[2:] == (h, w)]
        weight = torch.cat([weights[k] for k in chosen]) if len(chosen) > 1 else weights[chosen[0]]
        maps, reducers = [feature_maps[k] for k in chosen], [folded.reducers[k] for k in chosen]
        levels.append(Level(h, w, maps, reducers, weight, folded.first_bias[chosen].sum(0)))
    if (levels[-1].height, levels[-1].width) == size:
        return levels[:-1], levels[-1]
    return levels, None
