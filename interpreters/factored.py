"""Exact factored inference on the CPU (and on any other device that has no kernel of its own).

Upsampling acts on space and the first layer on channels, both linearly, so they commute:
    W concat_k(up(S_k)) = sum_k up(W_k S_k).
Every map is projected at its own resolution to the first-layer units of all members. Tiles of the image then add the
upsampled projections, finish the members and vote. Nothing of the size channels x pixels or members x classes x
pixels ever exists: working memory is set by a budget, not by the resolution.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from interpreters.folding import Folded
from interpreters.levels import split_levels
from interpreters.lookup import interpolation_matrix
from interpreters.prediction import Prediction
from interpreters.shapes import Float, UInt8
from interpreters.uncertainty import image_score, streamed_vote
from interpreters.workers import Workers

if TYPE_CHECKING:
    from interpreters.interpreter import StyleInterpreter

TILE = 32  # pixels a side; with 1,280 float32 units a tile is 5 MB and stays in cache
PART = 1024  # pixels of a small map that one worker projects at a time


@torch.no_grad()
def predict(
    model: "StyleInterpreter", feature_maps: Sequence[Float[Tensor, "batch _ _ _"]], dtype: torch.dtype, budget: int
) -> Prediction:
    """Products in ``dtype`` (softmax and vote in float32), at most about ``budget`` bytes of working memory."""
    size = model.output_size(feature_maps)
    batch, device = len(feature_maps[0]), feature_maps[0].device
    mask = torch.empty(batch, *size, dtype=torch.uint8, device=device)
    uncertainty = torch.empty(batch, *size, device=device)
    with Workers(device) as workers:
        call = _Call(model, feature_maps, size, dtype, budget, workers.count)
        for start in range(0, batch, call.group):
            images = range(start, min(start + call.group, batch))
            kept = {i: call.allocate() for i in images}
            parts = [(i, k, y, end) for i in images for k in range(call.kept) for y, end in call.parts(k)]
            workers.run(call.project, [(i, k, y, end, kept[i][k][y:end]) for i, k, y, end in parts])
            bands = [(y, min(y + call.rows, size[0])) for y in range(0, size[0], call.rows)]
            workers.run(
                call.label_band, [(i, y, end, kept[i], mask[i], uncertainty[i]) for i in images for y, end in bands]
            )
    return Prediction(mask, uncertainty.half(), image_score(uncertainty))


class _Call:
    """What one call of ``predict`` needs to know: levels from small to large, and how the budget is spent.

    The first ``kept`` levels are projected whole, for ``group`` images at a time; larger ones only as far as
    the band of ``rows`` image rows needs that a worker is at.
    """

    def __init__(
        self,
        model: "StyleInterpreter",
        feature_maps: Sequence[Tensor],
        size: tuple[int, int],
        dtype: torch.dtype,
        budget: int,
        workers: int,
    ):
        self.size, self.dtype, self.device = size, dtype, feature_maps[0].device
        self.folded: Folded = model.folded(dtype, self.device)
        self.units = self.folded.first.shape[1]
        self.lower, self.top = split_levels(self.folded, feature_maps, size)

        unit_bytes = self.units * self.folded.first.element_size()
        whole = [level.height * level.width * unit_bytes for level in self.lower]
        self.kept = 0
        while self.kept < len(whole) and sum(whole[: self.kept + 1]) <= budget // 2:
            self.kept += 1
        self.group = max(1, budget // 2 // max(1, sum(whole[: self.kept])))
        self.rows = TILE
        while self.rows > 4 and workers * self._band_bytes(unit_bytes) > budget // 2:
            self.rows //= 2

    def _band_bytes(self, unit_bytes: int) -> int:
        """Working memory of one worker: projections of its band, then one tile with its column taps."""
        banded = sum((self.rows * v.height // self.size[0] + 2) * v.width for v in self.lower[self.kept :])
        taps = sum(TILE * v.width // self.size[1] + 2 for v in self.lower)
        return (banded + self.rows * (TILE + taps)) * unit_bytes

    def allocate(self) -> list[Tensor]:
        return [
            torch.empty(v.height, v.width, self.units, dtype=self.dtype, device=self.device)
            for v in self.lower[: self.kept]
        ]

    def parts(self, k: int) -> list[tuple[int, int]]:
        """Rows of level k in portions that keep every worker busy."""
        step = max(1, PART // self.lower[k].width)
        return [(y, min(y + step, self.lower[k].height)) for y in range(0, self.lower[k].height, step)]

    def project(self, image: int, k: int, y: int, end: int, out: Float[Tensor, "rows width units"]) -> None:
        """First layer of all members for rows y to end of level k."""
        level = self.lower[k]
        pixels = level.vectors(image, slice(y, end), slice(None), self.dtype)
        torch.addmm(level.bias, pixels, level.weight, out=out.view(-1, self.units))

    def label_band(
        self,
        image: int,
        y: int,
        end: int,
        kept: list[Tensor],
        mask: UInt8[Tensor, "height width"],
        uncertainty: Float[Tensor, "height width"],
    ) -> None:
        """Mask and uncertainty of the image's rows y to end, tile by tile."""
        bands, vertical = [], []
        for k, level in enumerate(self.lower):
            first, matrix = interpolation_matrix(y, end, level.height, self.size[0], self.dtype, self.device)
            last = first + matrix.shape[1]
            if k < self.kept:
                band = kept[k][first:last]
            else:
                band = torch.empty(last - first, level.width, self.units, dtype=self.dtype, device=self.device)
                self.project(image, k, first, last, band)
            bands.append(band.flatten(1))
            vertical.append(matrix)
        for x in range(0, self.size[1], TILE):
            stop = min(x + TILE, self.size[1])
            units = self._first_layer(image, y, end, x, stop, bands, vertical)
            tile_mask, tile_uncertainty = streamed_vote(self._logits(units))
            mask[y:end, x:stop] = tile_mask.view(end - y, stop - x)
            uncertainty[y:end, x:stop] = tile_uncertainty.view(end - y, stop - x)

    def _first_layer(
        self, image: int, y: int, end: int, x: int, stop: int, bands: list[Tensor], vertical: list[Tensor]
    ) -> Float[Tensor, "pixels units"]:
        """sum_k up(W_k S_k) + b of one tile: rows level by level, the columns of all levels in one product."""
        rows, columns, units = end - y, stop - x, self.units
        horizontal = [interpolation_matrix(x, stop, v.width, self.size[1], self.dtype, self.device) for v in self.lower]
        total = None
        if self.top:
            pixels = self.top.vectors(image, slice(y, end), slice(x, stop), self.dtype)
            total = torch.addmm(self.top.bias, pixels, self.top.weight)
            if not self.lower:
                return total
        taps = sum(m.shape[1] for _, m in horizontal)
        stack = torch.empty(rows, taps * units, dtype=self.dtype, device=self.device)
        offset = 0
        for band, matrix, (first, m) in zip(bands, vertical, horizontal, strict=True):
            n = m.shape[1] * units
            torch.mm(matrix, band[:, first * units : first * units + n], out=stack[:, offset : offset + n])
            offset += n
        taps_of_row = stack.view(rows, taps, units)
        across = torch.cat([m for _, m in horizontal], 1).expand(rows, columns, taps)
        if total is None:
            return torch.bmm(across, taps_of_row).view(-1, units)
        total.view(rows, columns, units).baddbmm_(across, taps_of_row)
        return total

    def _logits(self, units: Float[Tensor, "pixels units"]) -> Float[Tensor, "members classes pixels"]:
        """The members' remaining layers."""
        x = units.view(len(units), self.folded.members, -1).transpose(0, 1)  # [members, pixels, width]
        if not self.folded.hidden:
            return x.transpose(1, 2).float()
        units.relu_()
        for weight, bias in self.folded.hidden[:-1]:
            x = torch.baddbmm(bias, x, weight).relu_()
        weight, bias = self.folded.hidden[-1]
        return torch.baddbmm(bias.transpose(1, 2), weight.transpose(1, 2), x.float().transpose(1, 2))
