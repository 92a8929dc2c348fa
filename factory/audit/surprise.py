"""How much more a label surprises a judge than the judge expected to be surprised."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, one_hot

from labelfactory.interpreters.array_types import Float, Int
from labelfactory.limits import IGNORE_INDEX

WINDOWS = (1 / 16, 1 / 8, 1 / 4, 1 / 2)  # sides, as shares of the picture's: errors are small or large
MOST = 8.0  # nats that one pixel can add: one absurd pixel is no error of a label
FLOOR = 0.02  # nats squared a pixel, under the variance: a judge is never as sure as it says


class Suspicion(NamedTuple):
    """``score`` of each picture, and the window (top, left, side) that gives it."""

    score: Float[Tensor, "batch"]
    window: Int[Tensor, "batch 3"]


def suspicion(
    probabilities: Float[Tensor, "batch classes height width"], mask: Int[Tensor, "batch height width"]
) -> Suspicion:
    """The window of each picture whose labels are the least likely ones under the judge's own probabilities.

    With p a pixel's probabilities and y its label, the surprise -log p_y has under the judge mean H(p) (the entropy)
    and variance V(p). A window scores sum(-log p_y - H) / sqrt(sum(V + FLOOR)) over its labelled pixels: where the
    judge is unsure (edges, haze) it expects surprises and they do not count; another label on a clear picture does.
    """
    p = probabilities.float().clamp_min(1e-6)
    nats = -p.log()
    known = mask != IGNORE_INDEX
    label = torch.where(known, mask, 0).clamp_max(p.shape[1] - 1)
    entropy = (p * nats).sum(1)
    variance = ((p * nats.square()).sum(1) - entropy.square()).clamp_min(0)
    surprise = nats.gather(1, label[:, None])[:, 0].clamp_max(MOST)
    excess = torch.where(known, surprise - entropy, 0.0)
    spread = torch.where(known, variance + FLOOR, 0.0)
    best = torch.full((len(p),), -torch.inf, device=p.device)
    window = torch.zeros(len(p), 3, dtype=torch.int64, device=p.device)
    short = min(p.shape[2:])
    for side in sorted({max(2, round(share * short)) for share in WINDOWS}):
        stride = max(1, side // 4)
        found = [avg_pool2d(x[:, None], side, stride)[:, 0] * side**2 for x in (excess, spread)]
        z = found[0] / (found[1] + FLOOR).sqrt()
        flat, place = z.flatten(1).max(1)
        rows, columns = place // z.shape[2] * stride, place % z.shape[2] * stride
        better = flat > best
        here = torch.stack([rows, columns, torch.full_like(rows, side)], 1)
        window = torch.where(better[:, None], here, window)
        best = torch.where(better, flat, best)
    return Suspicion(best, window)


def wanted_and_given(
    probabilities: Float[Tensor, "classes height width"], mask: Int[Tensor, "height width"], window: Int[Tensor, "3"]
) -> tuple[int, int]:
    """In a window: the class that the judge sees instead, and the class that the label has there."""
    top, left, side = (int(v) for v in window)
    p = probabilities[:, top : top + side, left : left + side].flatten(1).float()
    label = mask[top : top + side, left : left + side].flatten()
    known = label != IGNORE_INDEX
    p, label = p[:, known], label[known]
    seen = p.argmax(0)
    wrong = seen != label
    if not bool(wrong.any()):
        wrong = torch.ones_like(wrong)
    classes = p.shape[0]
    pairs = seen[wrong] * classes + label[wrong].clamp_max(classes - 1)
    most = int(one_hot(pairs, classes * classes).sum(0).argmax())
    return most // classes, most % classes
