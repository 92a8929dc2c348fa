"""Distances between two sets of images, computed on their features: FID, KID, precision and recall, diversity."""

from dataclasses import dataclass

import torch
from torch import Tensor

from labelfactory.interpreters.array_types import Float, Shaped

Features = Float[Tensor, "_ features"]
_CHUNK = 2048


def frechet_distance(a: Features, b: Features) -> float:
    """FID (arXiv 1706.08500): |m_a - m_b|² + tr(S_a + S_b - 2 (S_a S_b)^(1/2)), 0 for equal sets.

    Biased upwards for few images: compare figures of equal counts only.
    """
    (mean_a, cov_a), (mean_b, cov_b) = _moments(a), _moments(b)
    values, vectors = torch.linalg.eigh(cov_a)
    root_a = vectors * values.clamp(min=0).sqrt() @ vectors.T
    # S_a S_b has the eigenvalues of the symmetric S_a^(1/2) S_b S_a^(1/2).
    overlap = torch.linalg.eigvalsh(root_a @ cov_b @ root_a).clamp(min=0).sqrt().sum()
    distance = (mean_a - mean_b).square().sum() + cov_a.trace() + cov_b.trace() - 2 * overlap
    return max(float(distance), 0.0)


def _moments(x: Features) -> tuple[Tensor, Tensor]:
    x = x.double()
    mean = x.mean(dim=0)
    return mean, (x - mean).T @ (x - mean) / (len(x) - 1)


def kernel_distance(a: Features, b: Features, subsets: int = 100, size: int = 1000, seed: int = 0) -> float:
    """KID (arXiv 1801.01401): unbiased squared MMD with the kernel (x.y / d + 1)³, mean over random subsets.

    Around 0 for sets of one distribution; negative values are chance.
    """
    rng = torch.Generator().manual_seed(seed)
    size, a, b = min(size, len(a), len(b)), a.double(), b.double()
    total = 0.0
    for _ in range(subsets):
        x, y = (s[torch.randperm(len(s), generator=rng)[:size]] for s in (a, b))
        xx, yy, xy = ((p @ q.T / a.shape[1] + 1) ** 3 for p, q in ((x, x), (y, y), (x, y)))
        within = (xx.sum() - xx.trace() + yy.sum() - yy.trace()) / (size * (size - 1))
        total += float(within - 2 * xy.mean())
    return total / subsets


def precision_recall(real: Features, generated: Features, k: int = 3) -> tuple[float, float]:
    """Share of generated images inside the real manifold, and of real images inside the generated one.

    A manifold is the union of balls around each image that reach to its k-th neighbour (arXiv 1904.06991).
    """
    return _inside(generated, real, k), _inside(real, generated, k)


def _inside(x: Features, manifold: Features, k: int) -> float:
    radius = nearest(manifold, manifold, k + 1)[:, k]  # the nearest is the image itself
    hits = [bool_rows.any(dim=1) for bool_rows in (torch.cdist(part, manifold) <= radius for part in x.split(_CHUNK))]
    return float(torch.cat(hits).float().mean())


def nearest(x: Features, among: Features, k: int) -> Float[Tensor, "_ k"]:
    """Distances to the k nearest, ascending."""
    return torch.cat([torch.cdist(part, among).topk(k, largest=False).values for part in x.split(_CHUNK)])


@dataclass(frozen=True)
class Diversity:
    """How far apart the images of one set are: small against real ones means collapse.

    pairwise    mean distance of two images
    neighbour   median distance to the nearest other image of the set
    """

    pairwise: float
    neighbour: float


def diversity(x: Features) -> Diversity:
    """Diversity of one set. Compare sets of equal counts only."""
    total = sum(float(torch.cdist(part, x).sum()) for part in x.split(_CHUNK))
    return Diversity(total / (len(x) * (len(x) - 1)), float(nearest(x, x, 2)[:, 1].median()))


def nyquist_power(images: Shaped[Tensor, "images channels height width"]) -> float:
    """Mean power of the frequencies above 0.45 cycles a pixel along either axis: where a checkerboard shows."""
    spectrum = torch.fft.fft2(images.float(), norm="ortho").abs().square().mean(dim=(0, 1))
    high = [torch.fft.fftfreq(n).abs() > 0.45 for n in spectrum.shape]
    return float(spectrum[high[0][:, None] | high[1][None, :]].mean())
