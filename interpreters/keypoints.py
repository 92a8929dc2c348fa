"""Keypoints from feature maps: Gaussian heatmaps are regressed, their peaks decoded to a fraction of a pixel.

DatasetGAN's second task (arXiv 2104.06490, section 4.4). Coordinates are x, y in pixels; a pixel's centre is at + 0.5.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from labelfactory.interpreters.array_types import Float
from labelfactory.interpreters.crop import Crop
from labelfactory.interpreters.regression import FeatureRegressor

VISIBLE = 0.3  # peak height from which a keypoint counts as there; a perfect heatmap's is 1


@dataclass(frozen=True)
class KeypointPrediction:
    """Keypoints of a batch.

    points: x, y in pixels and confidence, the peak's height from 0 to 1; below ``VISIBLE`` it is probably not there.
    uncertainty: root mean square distance of the members' own peaks from the point, in pixels.
    """

    points: Float[Tensor, "batch keypoints 3"]
    uncertainty: Float[Tensor, "batch keypoints"]


def heatmaps(
    keypoints: Float[Tensor, "keypoints 3"], height: int, width: int, sigma: float
) -> Float[Tensor, "keypoints height width"]:
    """exp(-d² / 2σ²) around each labelled point, sampled at the pixels' centres; NaN where visibility is 0."""
    y, x = torch.arange(height) + 0.5, torch.arange(width) + 0.5
    px, py, visibility = keypoints.float().unbind(1)
    squared = (y[None, :, None] - py[:, None, None]) ** 2 + (x[None, None] - px[:, None, None]) ** 2
    out = torch.exp(-squared / (2 * sigma**2))
    out[visibility == 0] = torch.nan
    return out


def decode(maps: Float[Tensor, "*any height width"]) -> Float[Tensor, "*any 3"]:
    """x, y, height of each map's highest peak.

    The logarithm of a Gaussian is a parabola: the three values around the peak along each axis give its centre exactly.
    """
    height, width = maps.shape[-2:]
    flat = maps.flatten(-2)
    peak, index = flat.max(-1)
    row, column = index // width, index % width
    log = maps.clamp_min(1e-4).log()

    def offset(dy: int, dx: int) -> Tensor:
        def at(step: int) -> Tensor:
            r, c = row + step * dy, column + step * dx
            inside = (r >= 0) & (r < height) & (c >= 0) & (c < width)
            value = log.flatten(-2).gather(-1, (r.clamp(0, height - 1) * width + c.clamp(0, width - 1))[..., None])[
                ..., 0
            ]
            return value.where(inside, torch.nan)

        before, here, after = at(-1), at(0), at(1)
        curvature = before - 2 * here + after
        shift = 0.5 * (before - after) / curvature
        usable = shift.isfinite() & (curvature < -1e-6)
        return shift.where(usable, torch.zeros_like(shift)).clamp(-0.5, 0.5)

    x, y = column + 0.5 + offset(0, 1), row + 0.5 + offset(1, 0)
    return torch.stack([x, y, peak.clamp(0, 1)], -1)


def predict_keypoints(
    regressor: FeatureRegressor, feature_maps: Sequence[Tensor], crop: Crop | None = None
) -> KeypointPrediction:
    """Keypoints of a batch: peaks of the members' mean heatmap, and how far the members' own peaks lie from them.

    With a crop they are looked for in it, and counted from its corner.
    """
    points, spread = [], []
    for i in range(len(feature_maps[0])):
        members = regressor.member_maps([f[i : i + 1] for f in feature_maps], crop)
        consensus, own = decode(members.mean(0)), decode(members)
        points.append(consensus)
        spread.append((own[..., :2] - consensus[..., :2]).square().sum(-1).mean(0).sqrt())
    return KeypointPrediction(torch.stack(points), torch.stack(spread))


def distances(
    predicted: Float[np.ndarray, "images keypoints _"], truth: Float[np.ndarray, "images keypoints 3"]
) -> Float[np.ndarray, "images keypoints"]:
    """Euclidean distance in pixels, NaN where the truth is not labelled."""
    out = np.linalg.norm(predicted[..., :2] - truth[..., :2], axis=-1)
    return np.where(truth[..., 2] > 0, out, np.nan)


def pck(
    predicted: Float[np.ndarray, "images keypoints _"],
    truth: Float[np.ndarray, "images keypoints 3"],
    thresholds: Sequence[float],
) -> Float[np.ndarray, "thresholds keypoints"]:
    """Share of the labelled points that are predicted within each threshold, in pixels (0 to 1)."""
    d = distances(predicted, truth)
    known = np.isfinite(d)
    return np.stack([(known & (d <= t)).sum(0) / np.maximum(known.sum(0), 1) for t in thresholds])


def mean_error(
    predicted: Float[np.ndarray, "images keypoints _"], truth: Float[np.ndarray, "images keypoints 3"]
) -> Float[np.ndarray, "keypoints"]:
    """Mean distance of each keypoint in pixels, over the images where it is labelled (NaN where it never is)."""
    d = distances(predicted, truth)
    known = np.isfinite(d)
    return np.where(known.any(0), np.nansum(d, 0) / np.maximum(known.sum(0), 1), np.nan)


def axis_keypoints(mask: np.ndarray, class_id: int = 1) -> Float[np.ndarray, "3 3"]:
    """Centre and the two ends of the major axis of a class's pixels: the keypoints of the built-in example.

    The axis is the first principal component of the pixels' positions; its ends are the projections of the outermost
    pixels' centres. The first end is the upper one (the left one where both are equally high). Zeros without the class.
    """
    rows, columns = np.nonzero(mask == class_id)
    if len(rows) < 2:
        return np.zeros((3, 3), np.float32)
    points = np.stack([columns + 0.5, rows + 0.5], 1)
    centre = points.mean(0)
    _, vectors = np.linalg.eigh(np.cov((points - centre).T))
    axis = vectors[:, 1]
    if axis[1] > 1e-9 or (abs(axis[1]) <= 1e-9 and axis[0] > 0):
        axis = -axis
    along = (points - centre) @ axis
    ends = centre + np.array([[along.max()], [along.min()]]) * axis
    return np.concatenate([np.vstack([centre, ends]), np.full((3, 1), 2.0)], 1).astype(np.float32)


AXIS_KEYPOINTS = ("centre", "upper end", "lower end")
