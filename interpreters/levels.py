"""Feature maps grouped by size, each group with its rows of the first layer."""

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
    weight: Float[Tensor, "inputs units"]  # the last row is the bias

    def inputs(self, image: int, rows: slice, columns: slice, dtype: torch.dtype) -> Float[Tensor, "inputs pixels"]:
        """What members see of a rectangle of pixels, and a last row of ones.

        The product with the weights adds the bias on its way, where a sum of its own would take a sixth of its time.
        """
        seen = [f.shape[1] if r is None else len(r[0]) for f, r in zip(self.maps, self.reducers, strict=True)]
        height, width = self.maps[0][0, 0, rows, columns].shape
        out = torch.empty(len(self.weight), height, width, dtype=dtype, device=self.weight.device)
        *parts, ones = out.split([*seen, 1])
        for f, reducer, part in zip(self.maps, self.reducers, parts, strict=True):
            pixels = f[image, :, rows, columns]
            if reducer is None:
                part.copy_(pixels)
            else:
                part.flatten(1).copy_(torch.addmm(reducer[1], reducer[0], pixels.to(reducer[0].dtype).flatten(1)))
        ones.fill_(1)
        return out.flatten(1)


def split_levels(
    folded: Folded, feature_maps: Sequence[Tensor], size: tuple[int, int]
) -> tuple[list[Level], Level | None]:
    """The levels smaller than the output, smallest first, and the one of the output's size where there is one."""
    weights = folded.first.split(folded.seen)
    levels = []
    for h, w in sorted({(f.shape[2], f.shape[3]) for f in feature_maps}):
        chosen = [k for k, f in enumerate(feature_maps) if f.shape[2:] == (h, w)]
        weight = torch.cat([weights[k] for k in chosen] + [folded.first_bias[chosen].sum(0, keepdim=True)])
        levels.append(Level(h, w, [feature_maps[k] for k in chosen], [folded.reducers[k] for k in chosen], weight))
    if (levels[-1].height, levels[-1].width) == size:
        return levels[:-1], levels[-1]
    return levels, None
