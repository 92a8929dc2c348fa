"""CornerNet (Law and Deng, ECCV 2018, arXiv 1808.01244): boxes as pairs of corners that an embedding holds together."""

from typing import Annotated, NamedTuple

import torch
from torch import Tensor, nn

from labelfactory.factory.evaluation.predicted import Boxes, Predicted
from labelfactory.factory.objects.centernet import PRIOR, focal_loss, radius_of
from labelfactory.factory.objects.object_network import Depth, ObjectNetwork, Width, body, head, peaks_of
from labelfactory.factory.objects.targets import heat_of, known_pixels, things_of
from labelfactory.factory.pairs.augment import Batch
from labelfactory.factory.parameter import Parameter
from labelfactory.factory.segmenters.settings import TrainingConfig
from labelfactory.factory.segmenters.tasks import Aim
from labelfactory.interpreters.array_types import Float

PULL_WEIGHT, PUSH_WEIGHT, MARGIN = 0.1, 0.1, 1.0  # equations 4, 5 and 6
ALIKE = 0.5  # corners whose embeddings are farther apart belong to different objects (section 4.2)


class Answer(NamedTuple):
    """Logits of corners (one channel a countable class) and their embeddings, of upper left and lower right."""

    heats: tuple[Tensor, Tensor]
    embeddings: tuple[Tensor, Tensor]


def corner_pool(
    x: Float[Tensor, "batch channels height width"], upper_left: bool
) -> Float[Tensor, "batch channels height width"]:
    """Highest value to the right plus highest below (section 3.3); for lower right corners to the left and above."""

    def highest(axis: int) -> Tensor:
        return running_max(x.flip(axis), axis).flip(axis) if upper_left else running_max(x, axis)

    return highest(-1) + highest(-2)


def running_max(
    x: Float[Tensor, "batch channels height width"], axis: int
) -> Float[Tensor, "batch channels height width"]:
    """Highest value so far, in steps of 1, 2, 4 ... pixels: other runtimes than torch have no such operator."""
    size, step = x.shape[axis], 1
    while step < size:
        higher = torch.maximum(x.narrow(axis, step, size - step), x.narrow(axis, 0, size - step))
        x = torch.cat([x.narrow(axis, 0, step), higher], axis)
        step *= 2
    return x


class Corner(nn.Module):
    """One corner's branch: pooling of two convolved maps beside a shortcut, then heat and embedding (figure 7)."""

    def __init__(self, width: int, classes: int, upper_left: bool) -> None:
        super().__init__()
        self.upper_left = upper_left
        self.before = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(inplace=True))
        self.after = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width))
        self.shortcut = nn.Sequential(nn.Conv2d(width, width, 1), nn.BatchNorm2d(width))
        self.heat = head(width, classes, prior=PRIOR)
        self.embedding = head(width, 1)

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> tuple[Tensor, Tensor]:
        """Heat and embedding."""
        pooled = self.after(corner_pool(self.before(x), self.upper_left))
        y = torch.relu(pooled + self.shortcut(x))
        return self.heat(y), self.embedding(y)


class CornerNet(ObjectNetwork):
    """On a U-Net at full resolution: corners are pixels there, so that the paper's offsets are not needed."""

    def __init__(
        self,
        in_channels: int,
        aim: Aim,
        width: Width = 32,
        depth: Depth = 3,
        threshold: Annotated[float, Parameter("Score from which a box counts.", at_least=0, at_most=1)] = 0.1,
        most: Annotated[int, Parameter("Corners of each kind in a picture, at most.", at_least=1)] = 100,
    ) -> None:
        super().__init__(in_channels, aim)
        self.threshold, self.most = threshold, most
        self.body = body(in_channels, width, depth)
        self.corners = nn.ModuleList(Corner(width, len(aim.things), first) for first in (True, False))

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Answer:
        """Raw outputs for images in 0..1."""
        features = self.body(x)
        (a, b), (c, d) = (corner(features) for corner in self.corners)
        return Answer((a, c), (b, d))

    def loss(self, answer: Answer, batch: Batch, how: TrainingConfig) -> Float[Tensor, ""]:
        """Focal loss of both corners + 0.1 x pull + 0.1 x push of their embeddings (equations 1, 4 and 5)."""
        things = things_of(batch)
        classes = len(self.aim.things)
        channel = self.channels(things.label)
        known = known_pixels(batch)
        spread = radius_of(things.box[:, 2:] - things.box[:, :2]) / 3
        places = things.box[:, :2] + 0.5, things.box[:, 2:] - 0.5
        loss, tags = answer.heats[0].new_zeros((), dtype=torch.float32), []
        for heat, embedding, place in zip(answer.heats, answer.embeddings, places, strict=True):
            wanted = heat_of(things, channel, classes, spread, place)
            loss = loss + focal_loss(heat.float(), wanted, known)
            columns, rows = place.floor().long().unbind(1)
            tags.append(embedding.float()[things.image, 0, rows, columns])
        if not len(things):
            return loss
        mean = (tags[0] + tags[1]) / 2
        pull = ((tags[0] - mean) ** 2 + (tags[1] - mean) ** 2).mean()
        others = (things.image[:, None] == things.image[None]) & ~torch.eye(len(things), dtype=torch.bool).to(
            mean.device
        )
        push = (MARGIN - (mean[:, None] - mean[None]).abs()).relu()[others].sum() / others.sum().clamp_min(1)
        return loss + PULL_WEIGHT * pull + PUSH_WEIGHT * push

    def decoded(self, answer: Answer, height: int, width: int) -> list[Predicted]:
        """Pairs of corners of one class with like embeddings; a box scores the mean of its corners (section 4.2)."""
        peaks = [peaks_of(heat.float().sigmoid(), self.most) for heat in answer.heats]
        things = torch.tensor(self.aim.things, device=peaks[0][0].device)
        said = []
        for i in range(len(peaks[0][0])):
            (s, c, y, x), (s2, c2, y2, x2) = (tuple(part[i] for part in one) for one in peaks)
            tags = answer.embeddings[0][i, 0, y, x].float(), answer.embeddings[1][i, 0, y2, x2].float()
            fits = (c[:, None] == c2[None]) & (x[:, None] <= x2[None]) & (y[:, None] <= y2[None])
            fits &= (tags[0][:, None] - tags[1][None]).abs() <= ALIKE
            score = (s[:, None] + s2[None]) / 2
            first, second = (fits & (score > self.threshold)).nonzero(as_tuple=True)
            corners = torch.stack([x[first], y[first], x2[second] + 1, y2[second] + 1], 1).double()
            labels, scores = things[c[first]], score[first, second]
            kept = without_doubles(corners, labels, scores, self.most)
            said.append(Predicted(boxes=Boxes(*(t[kept].cpu().numpy() for t in (corners, labels, scores.double())))))
        return said


def without_doubles(corners: Tensor, labels: Tensor, scores: Tensor, most: int, overlap: float = 0.5) -> Tensor:
    """Places of the surest boxes, none of which covers a surer one of its class by IoU ``overlap``, surest first."""
    order = scores.argsort(descending=True, stable=True)[: 10 * most]
    b = corners[order]
    low, high = b[:, None, :2].maximum(b[None, :, :2]), b[:, None, 2:].minimum(b[None, :, 2:])
    both = (high - low).clamp_min(0).prod(-1)
    area = (b[:, 2:] - b[:, :2]).prod(-1)
    iou = both / (area[:, None] + area[None] - both).clamp_min(1e-9)
    double = (iou > overlap) & (labels[order][:, None] == labels[order][None])
    kept: list[int] = []
    for i in range(len(order)):
        if not double[i, kept].any():
            kept.append(i)
    return order[kept[:most]]
