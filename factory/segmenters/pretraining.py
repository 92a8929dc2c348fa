"""Pretraining of a segmenter on pictures without labels: what squares of them hide is painted from what is around.

Masked image modelling as in SimMIM (Xie et al., arXiv 2111.09886): squares are hidden by one value, the network paints
the whole picture, and only hidden pixels count. Here it is the whole segmenter that paints, its decoder too (as in
Brempong et al., arXiv 2205.11423), so that all but the last layer begins with what the pictures taught.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from labelfactory.errors import InputError
from labelfactory.factory.device import resolve_device
from labelfactory.factory.pairs.augment import Batch as Varied
from labelfactory.factory.pairs.augment import augment
from labelfactory.factory.pairs.augmentation import PRESETS, Augmentation
from labelfactory.factory.pairs.opening import open_pictures
from labelfactory.factory.pairs.pairs import Pair, Pairs, random_crop
from labelfactory.factory.segmenters.catalogue import build_segmenter, checked_options, class_of
from labelfactory.factory.segmenters.pretraining_order import PretrainingOrder
from labelfactory.factory.segmenters.segmenter import Segmenter
from labelfactory.factory.segmenters.starting import PRETRAINED
from labelfactory.factory.training.steps import EpochOrder
from labelfactory.factory.translation.examples import Examples, pictures_of, spread
from labelfactory.factory.translation.learning import LEAST, one_size
from labelfactory.factory.translation.method import Batch, Made, Method, Stats
from labelfactory.factory.translation.running import run
from labelfactory.factory.translation.settings import LearningSettings
from labelfactory.factory.translation.training import TranslationTrainer
from labelfactory.interpreters.array_types import Bool, Float

SHADE = 0.05  # of the variance of the full range: flat pictures do not count without bounds


class PaintingIn(Method):
    """A segmenter whose outputs are the picture's channels."""

    rates, betas, batch = (1e-3, 1e-3), (0.9, 0.999), 32

    def __init__(self, network: Segmenter, channels: int, patch: int, hidden: float) -> None:
        super().__init__()
        self.channels, self.patch, self.hidden = channels, patch, hidden
        self.makers, self.judges = nn.ModuleDict({"network": network}), nn.ModuleDict()

    def generator_loss(self, batch: Batch, rng: torch.Generator) -> tuple[Tensor, Stats, Made]:
        """Squared error of the hidden pixels, in units of each picture's variance."""
        hidden = hidden_squares(batch.picture, self.patch, self.hidden, rng)
        error = (self._painted(self.makers, batch.picture, hidden) - batch.picture).square().mean(1)
        variance = batch.picture.var((1, 2, 3), keepdim=True)[:, 0] + SHADE**2
        loss = (error / variance * hidden[:, 0]).sum() / hidden.sum()
        return loss, {"unexplained": loss.detach()}, {}

    def _painted(self, makers: nn.ModuleDict, pictures: Tensor, hidden: Tensor) -> Tensor:
        mean = pictures.mean((2, 3), keepdim=True)
        shown = torch.where(hidden, mean, pictures)
        network: Any = makers["network"]
        seen = ((shown + 1) / 2).expand(-1, network.in_channels, -1, -1)
        painted: Tensor = network(seen.contiguous(memory_format=torch.channels_last))[:, : self.channels]
        return painted.float()

    def panels(self, makers: nn.ModuleDict, batch: Batch) -> list[Tensor]:
        """What the network was shown, what it paints where squares hide the picture, and the picture."""
        picture = batch.picture
        hidden = hidden_squares(picture, self.patch, self.hidden, torch.Generator().manual_seed(0))
        mean = picture.mean((2, 3), keepdim=True)
        painted = torch.where(hidden, self._painted(makers, picture, hidden).clamp(-1, 1), picture)
        return [torch.where(hidden, mean, picture), painted, picture]


def hidden_squares(
    pictures: Float[Tensor, "batch channels height width"], patch: int, share: float, rng: torch.Generator
) -> Bool[Tensor, "batch 1 height width"]:
    """True where squares of a grid hide the picture; the grid begins anywhere, so that borders teach nothing."""
    n, _, height, width = pictures.shape
    rows, columns = -(-height // patch) + 1, -(-width // patch) + 1
    chosen = torch.rand(n, 1, rows, columns, generator=rng) < share
    whole = chosen.repeat_interleave(patch, 2).repeat_interleave(patch, 3)
    top, left = (int(torch.randint(patch, (), generator=rng)) for _ in range(2))
    return whole[:, :, top : top + height, left : left + width].to(pictures.device)


class VariedPictures(Examples):
    """Pictures without labels, varied as in the training that follows."""

    def __init__(self, pictures: Pairs, how: Augmentation, batch_size: int, seed: int, crop: int | None) -> None:
        super().__init__(batch_size, seed, crop, mirror=False)
        self.pictures, self.how = pictures, how
        self.order = EpochOrder(len(pictures), batch_size, seed)

    def fetch(self, step: int) -> Batch:
        rng = np.random.Generator(np.random.Philox(key=[self.seed, step], counter=1 << 66))
        some = self._cut(self.pictures.fetch(self.order.indices(step)), rng)
        x = (pictures_of(some) + 1) / 2
        blank = torch.zeros(len(x), *x.shape[-2:], dtype=torch.int64)
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        varied = augment(Varied(x, blank, blank.float()), self.how, generator).images
        return Batch(varied, varied * 2 - 1)

    def shown(self) -> Batch:
        some = self._cut(self.pictures.fetch(spread(len(self.pictures))), np.random.default_rng(self.seed))
        return Batch(pictures_of(some), pictures_of(some))

    def _cut(self, some: Sequence[Pair], rng: np.random.Generator) -> list[Pair]:
        return [pair if self.crop is None else random_crop(pair, self.crop, rng) for pair in some]


def pretrain_segmenter(order: PretrainingOrder, tell: Callable[[str], Any] = print, progress: bool = True) -> Path:
    """Pretrains what ``order`` asks for, or goes on with it; the file. ``tell`` gets lines for a person."""
    pictures = one_size([open_pictures(uri) for uri in order.images], None)
    return pretrain(pictures, order, tell, progress)


def pretrain(
    pictures: Pairs, order: PretrainingOrder, tell: Callable[[str], Any] = print, progress: bool = True
) -> Path:
    """The same on pictures that are open already; ``order.images`` says where they came from."""
    if class_of(order.architecture).own_loss:
        raise InputError(f"{order.architecture} does not answer pixel by pixel; choose another, like unet-small")
    checked_options(order.architecture, order.options)
    height, width, channels = pictures[0].image.shape
    if min(order.crop or height, height, width) < LEAST:
        raise InputError(f"pictures of {height} x {width} pixels: expected sides (and a crop) of {LEAST} or more")
    outputs = max(2, channels)
    torch.manual_seed(order.seed)
    network = build_segmenter(order.architecture, channels, outputs, order.backbone_weights, **order.options)
    if network.margin:
        raise InputError(f"{order.architecture} does not answer at the border; choose a network that keeps the size")
    method, device = PaintingIn(network, channels, order.patch, order.hidden), resolve_device(order.device)
    shared = ("kimg", "batch_size", "learning_rate", "crop", "average", "precision", "seed", "snapshot_minutes")
    settings = LearningSettings(mirror=False, **{name: getattr(order, name) for name in shared})
    examples = VariedPictures(pictures, PRESETS[order.augmentation], order.batch_size, order.seed, order.crop)
    trainer = TranslationTrainer(method, examples, settings, device)
    count = sum(p.numel() for p in network.parameters()) / 1e6
    tell(f"{order.architecture}: {len(pictures)} pictures of {height} x {width}, {count:.2f} M parameters, on {device}")
    body = _body(order, channels, outputs)

    def write() -> str:
        state: dict[str, Tensor] = trainer.average["network"].state_dict()
        header: dict[str, Any] = {"name": order.architecture, "image_channels": channels}
        header |= {"options": network.saved_options(order.options), "pictures": list(order.images)}
        header |= {"images_seen": trainer.images_seen, "patch": order.patch, "hidden": order.hidden}
        return PRETRAINED.save(order.out, PRETRAINED.pack({name: state[name] for name in body}, header))

    run(trainer, order.out, write, tell, progress)
    return order.out


def _body(order: PretrainingOrder, channels: int, outputs: int) -> list[str]:
    """Names of the tensors whose shapes do not follow the number of outputs: all but those of the last layer."""
    with torch.random.fork_rng(devices=[]):
        one, other = (
            build_segmenter(order.architecture, channels, n, **order.options).state_dict()
            for n in (outputs, outputs + 1)
        )
    return [name for name, value in one.items() if value.shape == other[name].shape]
