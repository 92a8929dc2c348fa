"""Restoration taught by a frozen synthesis model: L = CE(r, x) + VGG(s, y) + L1(s, y) with s = G(softmax r).

x is the whole mask, y its picture, r0 the incomplete mask and r what the restorer makes of it. Gradients pass through
G; G itself stays as it is.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from labelfactory.factory.pairs.pairs import Pair, Pairs
from labelfactory.factory.training.steps import EpochOrder
from labelfactory.factory.translation.condition import condition_of, soft_condition
from labelfactory.factory.translation.degrade import Degradation
from labelfactory.factory.translation.examples import Examples, pictures_of, spread
from labelfactory.factory.translation.incomplete import CHANNELS, stacked
from labelfactory.factory.translation.method import Batch, Made, Method, Stats
from labelfactory.factory.translation.model import Translation
from labelfactory.factory.translation.perceptual import Eyes, discriminator_eyes, feature_reconstruction
from labelfactory.factory.translation.restorer import Restorer
from labelfactory.factory.translation.sheet import painted
from labelfactory.limits import IGNORE_INDEX
from labelfactory.palette import Color

LOSSES = ("ce", "vgg", "l1")


class Restoring(Method):
    """The restorer, and what it is told. ``eyes`` are VGG16's; without them the frozen discriminator's serve.

    losses  which of ``LOSSES``; all but "ce" need the synthesis model
    """

    rates, betas, batch = (1e-3, 1e-3), (0.9, 0.999), 8

    def __init__(
        self,
        restorer: Restorer,
        losses: Sequence[str],
        synthesis: Translation | None,
        eyes: Eyes | None,
        colors: Sequence[Color],
    ) -> None:
        super().__init__()
        self.makers, self.judges = nn.ModuleDict({"restorer": restorer}), nn.ModuleDict()
        self.losses, self.synthesis, self.eyes, self.colors = tuple(losses), synthesis, eyes, list(colors)

    def generator_loss(self, batch: Batch, rng: torch.Generator) -> tuple[Tensor, Stats, Made]:
        """The losses that were chosen, each with a weight of one."""
        assert batch.truth is not None  # RestoringExamples gives it
        logits = self.makers["restorer"](batch.source).float()
        parts: Stats = {}
        if "ce" in self.losses:
            parts["ce"] = F.cross_entropy(logits, batch.truth, ignore_index=IGNORE_INDEX)
        if self.synthesis is not None and set(self.losses) & {"vgg", "l1"}:
            s = self.synthesis.picture(soft_condition(logits.softmax(1), batch.truth == IGNORE_INDEX))
            if "vgg" in self.losses:
                eyes = self.eyes or discriminator_eyes(self.synthesis.judges["discriminator"], self._whole(batch.truth))
                parts["vgg"] = feature_reconstruction(eyes, s, batch.picture)
            if "l1" in self.losses:
                parts["l1"] = F.l1_loss(s, batch.picture)
        loss = torch.stack(list(parts.values())).sum()
        return loss, {name: value.detach() for name, value in parts.items()}, {}

    def _whole(self, truth: Tensor) -> Tensor:
        return condition_of(truth, len(self.colors))

    def panels(self, makers: nn.ModuleDict, batch: Batch) -> list[Tensor]:
        """The incomplete mask, what is made of it, the whole one, the picture."""
        assert batch.truth is not None
        classes = len(self.colors)
        given = batch.source[:, : classes + 1].argmax(1)
        given = torch.where(given == classes, IGNORE_INDEX, given)
        found = makers["restorer"](batch.source).argmax(1)
        masks = [painted(mask, self.colors) for mask in (given, found, batch.truth)]
        return [*masks, batch.picture.expand(-1, 3, -1, -1)]


class RestoringExamples(Examples):
    """Pairs whose masks are degraded anew whenever they are seen, as seed and step decide."""

    def __init__(
        self,
        pairs: Pairs,
        restorer: Restorer,
        degradation: Degradation,
        batch_size: int,
        seed: int,
        crop: int | None,
        mirror: bool,
    ) -> None:
        super().__init__(batch_size, seed, crop, mirror)
        self.pairs, self.degradation = pairs, degradation
        # of the network only what turns channels into its input is used here, which has no weights
        self.prepare, self.sees_pictures = restorer.prepare, restorer.picture_channels > 0
        self.order = EpochOrder(len(pairs), batch_size, seed)

    def fetch(self, step: int) -> Batch:
        rng = np.random.Generator(np.random.Philox(key=[self.seed, step], counter=2 << 64))
        known = [self._degraded(pair, rng) for pair in self.pairs.fetch(self.order.indices(step))]
        return self._batch(self.varied(known, step))

    def shown(self) -> Batch:
        rng = np.random.Generator(np.random.Philox(key=[self.seed, 0], counter=3 << 64))
        return self._batch([self._degraded(pair, rng) for pair in self.pairs.fetch(spread(len(self.pairs)))])

    def _degraded(self, pair: Pair, rng: np.random.Generator) -> Pair:
        """The pair whose picture is the channels that the restorer sees, and then the picture itself."""
        given = incomplete(pair, self.degradation, rng)
        return Pair(np.concatenate([stacked(given), pair.image], 2), pair.mask, name=pair.name)

    def _batch(self, pairs: Sequence[Pair]) -> Batch:
        whole = torch.from_numpy(np.stack([pair.image for pair in pairs]))
        source = self.prepare(whole if self.sees_pictures else whole[..., :CHANNELS])
        only = [Pair(pair.image[..., CHANNELS:], pair.mask) for pair in pairs]
        return Batch(source, pictures_of(only), torch.from_numpy(np.stack([p.mask for p in pairs])).long())


def incomplete(pair: Pair, degradation: Degradation, rng: np.random.Generator) -> np.ndarray:
    """The pair's degraded mask; one pixel of it stays labelled in any case, where there is one."""
    given = degradation(pair.mask, rng, pair.instances)
    if (given == IGNORE_INDEX).all() and (pair.mask != IGNORE_INDEX).any():
        row, column = np.argwhere(pair.mask != IGNORE_INDEX)[0]
        given = given.copy()
        given[row, column] = pair.mask[row, column]
    return given
