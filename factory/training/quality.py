"""How good a generator is: its images against real ones, always beside real images against real ones."""

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from labelfactory.errors import InputError
from labelfactory.factory.generator import ImageGenerator
from labelfactory.factory.training.dataset import ImageDataset
from labelfactory.factory.training.feature_encoder import Features, Images
from labelfactory.factory.training.feature_metrics import (
    Diversity,
    diversity,
    frechet_distance,
    kernel_distance,
    nearest,
    nyquist_power,
    precision_recall,
)
from labelfactory.interpreters.array_types import Float
from labelfactory.progress import Progress


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

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Quality":
        """The inverse of ``to_dict``."""
        generated, real = (
            Comparison(**values[name] | {"diversity": Diversity(**values[name]["diversity"])})
            for name in ("generated", "real")
        )
        return cls(generated, real, Diversity(**values["reference_diversity"]), values["psi"])


COLUMNS = ["images", "FID", "x real", "FID train", "KIDx1000", "precision", "recall"]
COLUMNS += ["pairwise", "nearest", "to train", "Nyquist"]
HEADING = f"{'':28}" + "".join(f"{column:>10}" for column in COLUMNS)


def table_row(name: str, row: Comparison, real: Comparison) -> str:
    """One set of images for people, under ``HEADING``."""
    values = [row.fid, row.fid / max(real.fid, 1e-12), row.fid_train, row.kid * 1000, row.precision, row.recall]
    values += [row.diversity.pairwise, row.diversity.neighbour, row.to_train, row.nyquist]
    return f"{name[-27:]:28}{row.images:10}" + "".join(f"{value:10.3f}" for value in values)


def all_images(data: ImageDataset) -> Images:
    """The whole set, decoded."""
    return torch.cat([data.batch(list(range(i, min(i + 256, len(data))))) for i in range(0, len(data), 256)])


@torch.no_grad()
def generate_images(
    generator: ImageGenerator,
    count: int,
    labels: Float[Tensor, "known classes"],
    psi: float = 1.0,
    seed: int = 0,
    batch: int = 50,
    progress: bool = False,
) -> Images:
    """Random samples; classes, where there are some, as often as in ``labels``."""
    rng, parts = torch.Generator().manual_seed(seed), []
    for first in Progress(range(0, count, batch), desc="sampling", disable=not progress, leave=False):
        n = min(batch, count - first)
        z = torch.randn(n, *generator.latent_shape, generator=rng)
        c = labels[torch.randint(0, len(labels), (n,), generator=rng)].argmax(1) if generator.num_classes else None
        parts.append(generator.generate(z, psi, c).images.permute(0, 3, 1, 2).cpu())
    return torch.cat(parts)


class Yardstick:
    """Real images that generated ones are measured against; their features are computed once.

    Generated images and a random half of the training images are each compared with the reference that was not
    trained on. The other half of the training images plays the training set for the real ones, so that neither row
    meets itself. Raises ``InputError`` where there are too few images.
    """

    def __init__(self, train: Images, reference: Images, encoder: Features, seed: int = 0) -> None:
        if len(train) < 32 or len(reference) < 16:
            raise InputError("quality needs 32 training and 16 reference images or more")
        order = torch.randperm(len(train), generator=torch.Generator().manual_seed(seed))
        half = len(train) // 2
        self.encoder = encoder
        self.target, self.known = encoder(reference), encoder(train[order[half:]])
        self.power = nyquist_power(reference)
        self.spread = diversity(self.target)
        self.real = self._compare(train[order[:half]])

    def measure(self, generated: Images, psi: float = 1.0) -> Quality:
        """Figures of 16 or more images of a generator, beside those of real ones."""
        if len(generated) < 16:
            raise InputError(f"quality needs 16 generated images or more, not {len(generated)}")
        return Quality(self._compare(generated), self.real, self.spread, psi)

    def reference_row(self) -> str:
        """The reference's own spread, under ``HEADING``."""
        return f"{'reference':98}{self.spread.pairwise:10.3f}{self.spread.neighbour:10.3f}"

    def _compare(self, images: Images) -> Comparison:
        features, few = self.encoder(images), len(self.target)
        precision, recall = precision_recall(self.target, features[: 4 * few])
        return Comparison(
            images=len(images),
            fid=frechet_distance(features, self.target),
            fid_train=frechet_distance(features, self.known),
            kid=kernel_distance(features, self.target),
            precision=precision,
            recall=recall,
            diversity=diversity(features[:few]),
            to_train=float(nearest(features[:few], self.known, 1).median()),
            nyquist=nyquist_power(images) / max(self.power, 1e-12),
        )
