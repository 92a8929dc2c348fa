"""How good a generator is: its images against real ones, always beside real images against real ones."""

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from factory.errors import InputError
from factory.stylegan2_ada.dataset import ImageDataset
from factory.stylegan2_ada.feature_encoder import Encoder, Images
from factory.stylegan2_ada.feature_metrics import (
    Diversity,
    diversity,
    frechet_distance,
    kernel_distance,
    nearest,
    nyquist_power,
    precision_recall,
)
from factory.stylegan2_ada.networks import Generator
from factory.stylegan2_ada.training_run import to_uint8
from interpreters.shapes import Float


@dataclass(frozen=True)
class Comparison:
    """One set of images against the reference set.

    fid, kid, precision, recall   see ``feature_metrics``
    fid_train                     FID against half of the training images: data of the same sources
    diversity                     of the set itself, on as many images as the reference has
    to_train                      median distance to the nearest training image (small: copies of the training set)
    nyquist                       power of the highest frequencies, relative to the reference's (checkerboards)
    """

    images: int
    fid: float
    fid_train: float
    kid: float
    precision: float
    recall: float
    diversity: Diversity
    to_train: float
    nyquist: float


@dataclass(frozen=True)
class Quality:
    """Generated and real images against the same reference; ``ratio`` is FID over FID, 1 where they are as good."""

    generated: Comparison
    real: Comparison
    reference_diversity: Diversity
    psi: float

    @property
    def ratio(self) -> float:
        return self.generated.fid / max(self.real.fid, 1e-12)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"fid_ratio": self.ratio}

    def table(self) -> str:
        """For people: a row for generated images, one for real ones."""
        heads = ["images", "FID", "FID train", "KIDx1000", "precision", "recall"]
        heads += ["pairwise", "nearest", "to train", "Nyquist"]
        lines = [f"{'':20}" + "".join(f"{head:>10}" for head in heads)]
        for name, row in ((f"generated, psi {self.psi:g}", self.generated), ("real, held out", self.real)):
            values = [row.fid, row.fid_train, row.kid * 1000, row.precision, row.recall]
            values += [row.diversity.pairwise, row.diversity.neighbour, row.to_train, row.nyquist]
            lines.append(f"{name:20}{row.images:10}" + "".join(f"{value:10.3f}" for value in values))
        spread = self.reference_diversity
        lines.append(f"{'reference':80}{spread.pairwise:10.3f}{spread.neighbour:10.3f}")
        lines.append(f"FID is {self.ratio:.2f} times that of real images")
        return "\n".join(lines)


def all_images(data: ImageDataset) -> Images:
    """The whole set, decoded."""
    return torch.cat([data.batch(list(range(i, min(i + 256, len(data))))) for i in range(0, len(data), 256)])


@torch.no_grad()
def generate_images(
    generator: Generator,
    count: int,
    labels: Float[Tensor, "known classes"],
    psi: float = 1.0,
    seed: int = 0,
    batch: int = 50,
    progress: bool = False,
) -> Images:
    """Random samples; classes, where there are some, as often as in ``labels``."""
    rng, device = torch.Generator().manual_seed(seed), generator.mapping.w_avg.device
    parts = []
    for first in tqdm(range(0, count, batch), desc="sampling", disable=not progress, leave=False):
        n = min(batch, count - first)
        z = torch.randn(n, generator.z_dim, generator=rng).to(device)
        c = labels[torch.randint(0, len(labels), (n,), generator=rng)].to(device) if generator.c_dim else None
        ws = generator.mapping(z, c, truncation_psi=psi)
        parts.append(to_uint8(generator.synthesis(ws, noise_mode="const")).cpu())
    return torch.cat(parts)


def measure(
    generated: Images, train: Images, reference: Images, encoder: Encoder, psi: float = 1.0, seed: int = 0
) -> Quality:
    """Generated images and a random half of the training images, each against the reference that was not trained on.

    The other half of the training images plays the training set for the real ones, so that neither row meets itself.
    """
    if min(len(generated), len(train) // 2, len(reference)) < 16:
        raise InputError("quality needs 16 generated, 32 training and 16 reference images or more")
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(seed))
    half = len(train) // 2
    held, rest = train[order[:half]], train[order[half:]]
    target, power = encoder(reference), nyquist_power(reference)
    known = encoder(rest)

    def compare(images: Images) -> Comparison:
        features = encoder(images)
        precision, recall = precision_recall(target, features[: 4 * len(target)])
        return Comparison(
            images=len(images),
            fid=frechet_distance(features, target),
            fid_train=frechet_distance(features, known),
            kid=kernel_distance(features, target),
            precision=precision,
            recall=recall,
            diversity=diversity(features[: len(target)]),
            to_train=float(nearest(features[: len(target)], known, 1).median()),
            nyquist=nyquist_power(images) / max(power, 1e-12),
        )

    return Quality(compare(generated), compare(held), diversity(target), psi)
