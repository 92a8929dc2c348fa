"""From an order to a trained model of translation: sources opened and checked, networks made, the run."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from labelfactory.errors import InputError
from labelfactory.factory import options
from labelfactory.factory.device import resolve_device
from labelfactory.factory.pairs.opening import check_same_classes, open_pictures, open_source
from labelfactory.factory.pairs.pairs import JoinedPairs, Pairs
from labelfactory.factory.pairs.resized import ResizedPairs, parse_size
from labelfactory.factory.translation.condition import channels_of
from labelfactory.factory.translation.examples import Examples, PairExamples, PictureExamples
from labelfactory.factory.translation.methods import UNPAIRED, method_class
from labelfactory.factory.translation.model import Description, save_model
from labelfactory.factory.translation.order import SynthesisOrder
from labelfactory.factory.translation.perceptual import VGG16, load_vgg16
from labelfactory.factory.translation.running import run
from labelfactory.factory.translation.settings import LearningSettings
from labelfactory.factory.translation.training import TranslationTrainer
from labelfactory.interpreters.classes import LabelClass

LEAST = 8  # pixels a side that all the networks can work with


def train_synthesis(order: SynthesisOrder, tell: Callable[[str], Any] = print, progress: bool = True) -> Path:
    """Trains what ``order`` asks for, or goes on with it; the file. ``tell`` gets lines for a person."""
    settings, kind = order.settings, method_class(order.method)
    chosen = options.checked(order.method, options.options_of(kind), order.options)
    device = resolve_device(order.device)
    size = None if order.size is None else parse_size(order.size)
    batch = settings.batch_size or kind.batch
    examples, about = _examples(order, chosen, size, batch)
    torch.manual_seed(settings.seed)
    method = kind(about.source, about.channels, vgg16(order.perceptual_weights), **chosen)
    trainer = TranslationTrainer(method, examples, settings, device)
    count = sum(p.numel() for p in method.makers.parameters()) / 1e6
    judged = sum(p.numel() for p in method.judges.parameters()) / 1e6
    height, width = about.size
    tell(f"{order.method}: {height} x {width} pixels, {count:.2f} M parameters, judged by {judged:.2f} M, on {device}")

    def write() -> str:
        told = {"images_seen": trainer.images_seen, "trained_on": list(order.pairs), "pictures": order.pictures}
        told |= {"learning": vars(settings)}
        return save_model(order.out, trainer.average, method.judges, about.header(**told))

    run(trainer, order.out, write, tell, progress)
    return order.out


def vgg16(path: Path | None) -> VGG16 | None:
    """VGG16 up to relu4_3 with the weights of a file; None without one."""
    return None if path is None else load_vgg16(path, ("relu1_2", "relu2_2", "relu3_3", "relu4_3"))


def open_pairs(uris: tuple[str, ...], size: tuple[int, int] | None) -> tuple[Pairs, tuple[LabelClass, ...]]:
    """All sources as one collection of one size, with instances where they have some, and their classes.

    InputError where the classes differ.
    """
    sources = [open_source(uri, extra=("instances",)) for uri in uris]
    classes = sources[0][1]
    for uri, (_, others) in zip(uris, sources, strict=True):
        check_same_classes(uris[0], classes, uri, others)
    return one_size([pairs for pairs, _ in sources], size), classes


def one_size(parts: list[Pairs], size: tuple[int, int] | None) -> Pairs:
    """One collection, resized where a size is asked for. InputError where there is nothing in it."""
    pairs = parts[0] if len(parts) == 1 else JoinedPairs(parts)
    if len(pairs) == 0:
        raise InputError("there are no pictures to train on")
    return pairs if size is None else ResizedPairs(pairs, size)


def _examples(
    order: SynthesisOrder, chosen: dict[str, Any], size: tuple[int, int] | None, batch: int
) -> tuple[Examples, Description]:
    s: LearningSettings = order.settings
    if order.method in UNPAIRED:
        first = one_size([open_pictures(uri) for uri in order.pairs], size)
        second = one_size([open_pictures(str(order.pictures))], size)
        shapes = [kind[0].image.shape for kind in (first, second)]
        _check_size(*(shape[:2] for shape in shapes))
        found: Examples = PictureExamples(first, second, batch, s.seed, s.crop, s.mirror)
        return found, Description(order.method, chosen, shapes[0][2], shapes[1][2], shapes[0][:2])
    pairs, classes = open_pairs(order.pairs, size)
    found = PairExamples(pairs, len(classes), order.edges, batch, s.seed, s.crop, s.mirror)
    height, width, channels = pairs[0].image.shape
    _check_size((height, width))
    source = channels_of(len(classes), order.edges)
    return found, Description(order.method, chosen, source, channels, (height, width), classes, order.edges)


def _check_size(*sizes: tuple[int, ...]) -> None:
    for height, width in sizes:
        if min(height, width) < LEAST:
            raise InputError(f"pictures of {height} x {width} pixels: expected sides of {LEAST} or more")
