"""A random forest on filters of the picture around a pixel, as ilastik has it (Berg et al., Nature Methods 16, 2019).

Breiman's forest (Machine Learning 45, 2001) is grown by scikit-learn; here it is a segmenter like others, so that it
predicts, is judged and labels as they do. It learns in seconds, and needs a few labelled pixels of each class.
"""

import math
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor, nn

from labelfactory.errors import InputError
from labelfactory.factory.pairs.pairs import Pairs
from labelfactory.factory.parameter import Parameter
from labelfactory.factory.segmenters.segmenter import Segmenter
from labelfactory.interpreters.array_types import Float, Int, UInt8
from labelfactory.limits import IGNORE_INDEX
from labelfactory.progress import Progress

NAME = "pixel-forest"
SCALES = (0.7, 1.0, 1.6, 3.5, 5.0)  # standard deviations in pixels, ilastik's
RARELY = 1e-4  # probability that a forest gives at least, so that logits are finite


def _derivative(x: Tensor, sigma: float, order: int, axis: int) -> Tensor:
    """Convolution of one axis with a Gaussian or its first or second derivative, mirrored at the borders."""
    radius = int(4 * sigma + 0.5)
    t = torch.arange(-radius, radius + 1, dtype=torch.float64)
    kernel = torch.exp(-(t**2) / (2 * sigma**2))
    kernel = kernel / kernel.sum() * {0: torch.ones_like(t), 1: -t / sigma**2, 2: t**2 / sigma**4 - 1 / sigma**2}[order]
    size = x.shape[axis]
    mirrored = torch.from_numpy(np.pad(np.arange(size), radius, mode="symmetric")).to(x.device)
    windows = x.index_select(axis, mirrored).unfold(axis, 2 * radius + 1, 1)
    return windows @ kernel.flip(0).to(x)


def _smooth(x: Tensor, sigma: float, rows: int = 0, columns: int = 0) -> Tensor:
    return _derivative(_derivative(x, sigma, rows, 2), sigma, columns, 3)


def filters(
    x: Float[Tensor, "batch channels height width"], position: bool = False
) -> Float[Tensor, "batch features height width"]:
    """ilastik's features of every pixel of pictures in 0..1, of every channel and scale: Gaussian, Laplacian, gradient
    magnitude, eigenvalues of the structure tensor. ``position`` adds row, column and the distance from the middle."""
    maps = []
    for channel in range(x.shape[1]):
        one = x[:, channel : channel + 1]
        for sigma in SCALES:
            dy, dx = _smooth(one, sigma, 1, 0), _smooth(one, sigma, 0, 1)
            yy, xx, xy = (_smooth(v, sigma) for v in (dy * dy, dx * dx, dx * dy))
            half, root = (yy + xx) / 2, (((yy - xx) / 2).square() + xy.square()).sqrt()
            laplacian = _smooth(one, sigma, 2, 0) + _smooth(one, sigma, 0, 2)
            maps += [_smooth(one, sigma), laplacian, torch.hypot(dy, dx), half + root, half - root]
    if position:
        y, x_ = (torch.linspace(-1, 1, n, device=x.device) for n in x.shape[2:])
        rows, columns = torch.meshgrid(y, x_, indexing="ij")
        maps += [m.expand(len(x), 1, -1, -1) for m in (rows, columns, torch.hypot(rows, columns))]
    return torch.cat(maps, 1)


def pixel_features(image: UInt8[np.ndarray, "height width channels"], position: bool = False) -> np.ndarray:
    """The features of one picture, [pixels, features]."""
    x = torch.from_numpy(image.astype(np.float32) / 255).permute(2, 0, 1)[None]
    return filters(x, position)[0].flatten(1).T.numpy()


def random_forest(features: np.ndarray, labels: np.ndarray, trees: int = 100, leaf: int = 1, seed: int = 0) -> Any:
    """scikit-learn's forest of pixels' features and classes, on as many threads as torch has."""
    from sklearn.ensemble import RandomForestClassifier

    threads = torch.get_num_threads()
    forest = RandomForestClassifier(trees, min_samples_leaf=leaf, random_state=seed, n_jobs=threads)
    return forest.fit(features, labels)


class PixelForest(Segmenter):
    """Trees as tables: from node to node by one feature and a threshold, until a leaf, which leads to itself.

    ``threshold`` is a parameter so that the forest has a device as networks have; nothing learns it by gradient.
    """

    feature: Int[Tensor, "trees nodes"]
    below: Int[Tensor, "trees nodes"]
    above: Int[Tensor, "trees nodes"]
    votes: Float[Tensor, "trees nodes classes"]

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        trees: Annotated[int, Parameter("Trees.", at_least=1, at_most=1000)] = 100,
        nodes: Annotated[int, Parameter("Nodes of the largest tree.", at_least=1, at_most=2**18)] = 1,
        depth: Annotated[int, Parameter("Decisions on the longest way to a leaf.", at_least=0, at_most=10_000)] = 0,
        position: Annotated[bool, Parameter("Position of the pixel as a further feature.")] = False,
    ) -> None:
        super().__init__(in_channels, num_classes)
        self.depth, self.position, self.whole = depth, position, position
        self.features = in_channels * 5 * len(SCALES) + 3 * position
        self.threshold = nn.Parameter(torch.zeros(trees, nodes), requires_grad=False)
        for name in ("feature", "below", "above"):
            self.register_buffer(name, torch.zeros(trees, nodes, dtype=torch.int32))
        self.register_buffer("votes", torch.full((trees, nodes, num_classes), 1 / num_classes))

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch classes height width"]:
        """Logarithms of the trees' mean votes, for pictures in 0..1."""
        n, _, height, width = x.shape
        seen = filters(x.float(), self.position).permute(0, 2, 3, 1).reshape(-1, self.features)
        last = self.threshold.shape[1] - 1
        total = torch.zeros(len(seen), self.num_classes, device=seen.device)
        tables = (self.feature, self.threshold, self.below, self.above, self.votes)
        for feature, threshold, below, above, votes in zip(*tables, strict=True):
            node = torch.zeros(len(seen), dtype=torch.int64, device=seen.device)
            chosen, ways = feature.long().clamp(0, self.features - 1), torch.stack([below, above]).long().clamp(0, last)
            for _ in range(self.depth):
                value = seen.gather(1, chosen[node][:, None])[:, 0]
                node = ways[(value > threshold[node]).long(), node]
            total += votes[node]
        probabilities = total / total.sum(1, keepdim=True).clamp_min(1e-9)
        return probabilities.clamp_min(RARELY).log().view(n, height, width, -1).permute(0, 3, 1, 2)

    @classmethod
    def of(cls, forest: Any, in_channels: int, num_classes: int, position: bool) -> "PixelForest":
        """scikit-learn's forest as tables."""
        grown = [tree.tree_ for tree in forest.estimators_]
        nodes, depth = max(t.node_count for t in grown), max(t.max_depth for t in grown)
        made = cls(in_channels, num_classes, len(grown), nodes, depth, position)
        classes = torch.from_numpy(forest.classes_.astype(np.int64))
        for i, tree in enumerate(grown):
            own = np.arange(tree.node_count)
            leaf = tree.children_left < 0
            votes = torch.from_numpy(tree.value[:, 0] / tree.value[:, 0].sum(1, keepdims=True)).float()
            made.votes[i, : len(own)] = torch.zeros(len(own), num_classes).index_copy(1, classes, votes)
            tables = {"feature": np.where(leaf, 0, tree.feature), "threshold": np.where(leaf, 0.0, tree.threshold)}
            tables |= {
                "below": np.where(leaf, own, tree.children_left),
                "above": np.where(leaf, own, tree.children_right),
            }
            for name, table in tables.items():
                target: Tensor = getattr(made, name)
                target.data[i, : len(own)] = torch.from_numpy(table).to(target.dtype)
        return made.eval()


def grow(
    pairs: Pairs,
    num_classes: int,
    trees: int = 100,
    leaf: int = 5,
    pixels: int = 100_000,
    position: bool = False,
    seed: int = 0,
    progress: bool = True,
) -> PixelForest:
    """A forest of labelled pixels, of each pair its share of ``pixels`` at most. InputError where none is labelled."""
    rng, features, labels = np.random.default_rng(seed), [], []
    share = math.ceil(pixels / max(1, len(pairs)))
    for i in Progress(range(len(pairs)), desc="filters", unit="image", disable=not progress, leave=False):
        pair = pairs[i]
        known = np.flatnonzero(pair.mask.ravel() != IGNORE_INDEX)
        some = rng.permutation(known)[:share]
        features.append(pixel_features(pair.image, position)[some])
        labels.append(pair.mask.ravel()[some])
    if not sum(map(len, labels)):
        raise InputError("no pixel is labelled: there is nothing to learn from")
    if len({f.shape[1] for f in features}) > 1:
        raise InputError("some pictures are grey, others coloured: convert one of them")
    forest = random_forest(np.concatenate(features), np.concatenate(labels), trees, leaf, seed)
    return PixelForest.of(forest, pairs[0].image.shape[2], num_classes, position)
