"""Feature maps grouped by size, each group with its rows of the first layer."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from labelfactory.interpreters.array_types import Float
from labelfactory.interpreters.folding import Folded


@dataclass(frozen=True)
class Level:
    """All maps of one size, as if they were one map of more channels; some are seen in a few directions only."""

    height: int
    width: int
    maps: list[Float[Tensor, "batch _ height width"]]
    reducers: list[tuple[Tensor, Tensor] | None]
    weight: Float[Tensor, "inputs units"]  # the last row is the bias

    def inputs(
        self, images: int | slice, rows: slice, columns: slice, dtype: torch.dtype
    ) -> Float[Tensor, "*images inputs pixels"]:
        """What members see of a rectangle of pixels of one image, or of several, and a last row of ones.

        The row of ones lets the matrix product add the bias; an addition of its own would cost a sixth of its time.
        """
        seen = [f.shape[1] if r is None else len(r[0]) for f, r in zip(self.maps, self.reducers, strict=True)]
        *several, _, height, width = self.maps[0][images, :1, rows, columns].shape
        out = torch.empty(*several, len(self.weight), height, width, dtype=dtype, device=self.weight.device)
        *parts, ones = out.split([*seen, 1], -3)
        for f, reducer, part in zip(self.maps, self.reducers, parts, strict=True):
            pixels = f[images, :, rows, columns]
            if reducer is None:
                part.copy_(pixels)
                continue
            directions, offset = reducer
            pixels = pixels.to(directions.dtype).flatten(-2)
            if several:
                found = torch.baddbmm(offset, directions.expand(len(pixels), -1, -1), pixels)
            else:
                found = torch.addmm(offset, directions, pixels)
            part.copy_(found.unflatten(-1, (height, width)))
        ones.fill_(1)
        return out.flatten(-2)


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
