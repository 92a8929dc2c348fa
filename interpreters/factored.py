"""Exact factored inference on the CPU (and on any other device that has no kernel of its own).

Upsampling acts on space and the first layer on channels, both linearly, so they commute:
    W concat_k(up(S_k)) = sum_k up(W_k S_k).
Every map is projected at its own resolution to the first-layer units of all members. Tiles of the image then add the
upsampled projections, finish the members and vote. Nothing of the size channels x pixels or members x classes x
pixels ever exists: working memory is set by a budget, not by the resolution.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from labelfactory.interpreters.array_types import Float
from labelfactory.interpreters.crop import Crop, whole
from labelfactory.interpreters.ensemble import Ensemble
from labelfactory.interpreters.folding import Folded, folded
from labelfactory.interpreters.levels import split_levels
from labelfactory.interpreters.lookup import interpolation_matrix
from labelfactory.interpreters.prediction import Prediction
from labelfactory.interpreters.uncertainty import image_score, streamed_vote
from labelfactory.interpreters.workers import Workers

TILE = 32  # pixels a side; with 1,280 float32 units a tile is 5 MB and stays in cache
LARGE_TILE = 256  # on a GPU: fewer, larger calls; there is no cache to fit into
PART = 1024  # pixels of a small map that one worker projects at a time


Use = Callable[[int, slice, slice, Float[Tensor, "members outputs rows columns"]], None]
"""Told of every tile: the image's number, its rows and columns (counted from the crop's corner), the outputs there."""


@torch.no_grad()
def predict(
    model: Ensemble,
    feature_maps: Sequence[Float[Tensor, "batch _ _ _"]],
    dtype: torch.dtype,
    budget: int,
    crop: Crop | None = None,
) -> Prediction:
    """Products in ``dtype`` (softmax and vote in float32), at most about ``budget`` bytes of working memory."""
    crop = crop or whole(model.output_size(feature_maps))
    shape, device = (len(feature_maps[0]), crop.height, crop.width), feature_maps[0].device
    mask = torch.empty(shape, dtype=torch.uint8, device=device)
    uncertainty = torch.empty(shape, device=device)

    def vote(image: int, rows: slice, columns: slice, logits: Tensor) -> None:
        tile_mask, tile_uncertainty = streamed_vote(logits.flatten(2))
        mask[image, rows, columns] = tile_mask.view(logits.shape[2:])
        uncertainty[image, rows, columns] = tile_uncertainty.view(logits.shape[2:])

    outputs(model, feature_maps, dtype, budget, crop, vote)
    return Prediction(mask, uncertainty.half(), image_score(uncertainty))


@torch.no_grad()
def outputs(
    model: Ensemble,
    feature_maps: Sequence[Float[Tensor, "batch _ _ _"]],
    dtype: torch.dtype,
    budget: int,
    crop: Crop,
    use: Use,
) -> None:
    """The members' outputs for the crop's pixels, tile by tile; ``use`` may be called from several threads."""
    size = model.output_size(feature_maps)
    crop.check(*size)
    with Workers(feature_maps[0].device) as workers:
        call = _Call(model, feature_maps, size, dtype, budget, workers.count, crop)
        for start in range(0, len(feature_maps[0]), call.group):
            images = range(start, min(start + call.group, len(feature_maps[0])))
            kept = {i: call.allocate() for i in images}
            parts = [(i, k, y, end) for i in images for k in range(call.kept) for y, end in call.parts(k)]
            workers.run(call.project, [(i, k, y, end, kept[i][k][y:end]) for i, k, y, end in parts])
            bands = [(y, min(y + call.rows, crop.bottom)) for y in range(crop.top, crop.bottom, call.rows)]
            workers.run(call.finish_band, [(i, y, end, kept[i], use) for i in images for y, end in bands])


class _Call:
    """What one call of ``predict`` needs to know: levels from small to large, and how the budget is spent.

    The first ``kept`` levels are projected whole, for ``group`` images at a time; larger ones only as far as
    the band of ``rows`` image rows needs that a worker is at.
    """

    def __init__(
        self,
        model: Ensemble,
        feature_maps: Sequence[Tensor],
        size: tuple[int, int],
        dtype: torch.dtype,
        budget: int,
        workers: int,
        crop: Crop | None = None,
    ):
        self.size, self.crop, self.dtype, self.device = size, crop or whole(size), dtype, feature_maps[0].device
        self.folded: Folded = folded(model, dtype, self.device)
        self.units = self.folded.first.shape[1]
        self.lower, self.top = split_levels(self.folded, feature_maps, size)

        unit_bytes = self.units * self.folded.first.element_size()
        sizes = [level.height * level.width * unit_bytes for level in self.lower]
        self.kept = 0
        while self.kept < len(sizes) and sum(sizes[: self.kept + 1]) <= budget // 2:
            self.kept += 1
        self.group = max(1, budget // 2 // max(1, sum(sizes[: self.kept])))
        self.tile = TILE if self.device.type == "cpu" else LARGE_TILE
        self.rows = self.tile
        while self.rows > 4 and workers * self._band_bytes(unit_bytes) > budget // 2:
            self.rows //= 2

    def _band_bytes(self, unit_bytes: int) -> int:
        """Working memory of one worker: projections of its band, then one tile with its column taps."""
        banded = sum((self.rows * v.height // self.size[0] + 2) * v.width for v in self.lower[self.kept :])
        taps = sum(self.tile * v.width // self.size[1] + 2 for v in self.lower)
        return (banded + self.rows * (self.tile + taps)) * unit_bytes

    def allocate(self) -> list[Tensor]:
        return [
            torch.empty(v.height, v.width, self.units, dtype=self.dtype, device=self.device)
            for v in self.lower[: self.kept]
        ]

    def parts(self, k: int) -> list[tuple[int, int]]:
        """The rows of level k that the crop needs, in portions that keep every worker busy."""
        level = self.lower[k]
        step = max(1, PART // level.width)
        first, matrix = interpolation_matrix(
            self.crop.top, self.crop.bottom, level.height, self.size[0], self.dtype, self.device
        )
        last = first + matrix.shape[1]
        return [(y, min(y + step, last)) for y in range(first, last, step)]

    def project(self, image: int, k: int, y: int, end: int, out: Float[Tensor, "rows width units"]) -> None:
        """First layer of all members for rows y to end of level k."""
        level = self.lower[k]
        inputs = level.inputs(image, slice(y, end), slice(None), self.dtype)
        torch.mm(inputs.T, level.weight, out=out.view(-1, self.units))

    def finish_band(self, image: int, y: int, end: int, kept: list[Tensor], use: Use) -> None:
        """The outputs of the image's rows y to end, tile by tile."""
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
        for x in range(self.crop.left, self.crop.right, self.tile):
            stop = min(x + self.tile, self.crop.right)
            logits = self._logits(self._first_layer(image, y, end, x, stop, bands, vertical))
            rows, columns = (
                slice(y - self.crop.top, end - self.crop.top),
                slice(x - self.crop.left, stop - self.crop.left),
            )
            use(image, rows, columns, logits.unflatten(2, (end - y, stop - x)))

    def _first_layer(
        self, image: int, y: int, end: int, x: int, stop: int, bands: list[Tensor], vertical: list[Tensor]
    ) -> Float[Tensor, "pixels units"]:
        """sum_k up(W_k S_k) + b of one tile: rows level by level, the columns of all levels in one product."""
        rows, columns, units = end - y, stop - x, self.units
        horizontal = [interpolation_matrix(x, stop, v.width, self.size[1], self.dtype, self.device) for v in self.lower]
        total = None
        if self.top:
            inputs = self.top.inputs(image, slice(y, end), slice(x, stop), self.dtype)
            total = inputs.T @ self.top.weight
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
