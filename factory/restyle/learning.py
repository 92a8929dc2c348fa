"""From an order to a trained restyler, by the training that all networks of translation share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from labelfactory.errors import InputError
from labelfactory.factory import options
from labelfactory.factory.device import resolve_device
from labelfactory.factory.pairs.opening import open_pictures
from labelfactory.factory.pairs.pairs import ArrayPairs, Pairs
from labelfactory.factory.pairs.resized import parse_size
from labelfactory.factory.restyle.adain import AdaIN
from labelfactory.factory.restyle.encoder import load_encoder
from labelfactory.factory.restyle.feed_forward import FeedForward
from labelfactory.factory.restyle.order import RestylerOrder
from labelfactory.factory.restyle.restyler import FILE
from labelfactory.factory.restyle.styles import StyleFiles, style_pictures
from labelfactory.factory.translation.examples import PictureExamples
from labelfactory.factory.translation.learning import one_size
from labelfactory.factory.translation.running import run
from labelfactory.factory.translation.training import TranslationTrainer

LEAST = 32  # pixels a side that mirrored borders and relu4_1 leave something of


def train_restyler(order: RestylerOrder, tell: Callable[[str], Any] = print, progress: bool = True) -> Path:
    """Trains what ``order`` asks for, or goes on with it; the file. ``tell`` gets lines for a person."""
    settings, device = order.settings, resolve_device(order.device)
    kind: type[AdaIN | FeedForward] = AdaIN if order.method == "adain" else FeedForward
    chosen = options.checked(order.method, options.options_of(kind), order.options)
    encoder = load_encoder(order.perceptual_weights)
    contents = one_size(
        [open_pictures(uri) for uri in order.pictures], None if order.size is None else parse_size(order.size)
    )
    height, width = contents[0].image.shape[:2]
    seen = min(settings.crop or LEAST, height, width)
    if seen < LEAST:
        raise InputError(f"pictures of {height} x {width} pixels: expected sides (and a crop) of {LEAST} or more")
    files = StyleFiles(order.style, max(height, width), progress)
    for line in files.remarks(contents[0].image.shape[2] == 3):
        tell(line)
    styles = style_pictures(files.pictures, files.hashes, files.names)
    torch.manual_seed(settings.seed)
    method = AdaIN(encoder, **chosen) if order.method == "adain" else FeedForward(encoder, styles, **chosen)
    batch = settings.batch_size or method.batch
    second = one_size([_as_pairs(files, (height, width))], (height, width))
    examples = PictureExamples(contents, second, batch, settings.seed, settings.crop, settings.mirror)
    trainer = TranslationTrainer(method, examples, settings, device)
    count = sum(p.numel() for p in method.makers.parameters()) / 1e6
    tell(f"{order.method}: {height} x {width} pixels, {len(files.names)} styles, {count:.2f} M parameters, on {device}")

    def write() -> str:
        header: dict[str, Any] = {"method": order.method, "options": chosen, "styles": list(files.hashes)}
        header |= {"images_seen": trainer.images_seen, "pictures": list(order.pictures), "learning": vars(settings)}
        return FILE.save(order.out, FILE.pack(method.saved(trainer.average), header))

    run(trainer, order.out, write, tell, progress)
    return order.out


def _as_pairs(files: StyleFiles, size: tuple[int, int]) -> Pairs:
    """Style pictures as batches draw them: of one size, in colour."""
    import numpy as np

    from labelfactory.factory.pairs.resized import resized_picture

    pictures = np.stack([np.broadcast_to(resized_picture(p, size), (*size, 3)) for p in files.pictures])
    return ArrayPairs(pictures, np.zeros(pictures.shape[:3], np.uint8), names=files.names)
