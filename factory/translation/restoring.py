"""Incomplete masks completed, whole folders of them: masks, doubt, pictures to look at."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray as Array
from PIL import Image

from labelfactory.array_types import Float, UInt8
from labelfactory.errors import InputError
from labelfactory.factory.device import resolve_device
from labelfactory.factory.evaluation.cases import overlay
from labelfactory.factory.pairs.labelled import FolderOrZip
from labelfactory.factory.segmenters.inference import predict
from labelfactory.factory.training.precision import uses_bf16
from labelfactory.factory.translation.degrade import enlarged
from labelfactory.factory.translation.incomplete import stacked
from labelfactory.factory.translation.order import RestoringOrder
from labelfactory.factory.translation.restorer import LoadedRestorer, load_restorer
from labelfactory.interpreters.pictures import read_image, read_mask, save_mask
from labelfactory.limits import IGNORE_INDEX
from labelfactory.ownership import claim
from labelfactory.progress import Progress


class Restored(NamedTuple):
    """A whole mask; how unsure each pixel is (entropy of the calibrated probabilities, in nats); the probabilities.

    What was labelled already, and stays, is sure: 0.
    """

    mask: UInt8[Array, "height width"]
    uncertainty: Float[Array, "height width"]
    probabilities: Float[Array, "classes height width"]


def restore(
    restorer: LoadedRestorer,
    mask: UInt8[Array, "height width"],
    picture: UInt8[Array, "high wide channels"] | None = None,
    tile: int = 512,
    bf16: bool = False,
) -> Restored:
    """Completes one mask (255: not labelled) of any size.

    What is labelled stays where the restorer was trained on masks whose labels are right (all but coarse ones and small
    ones). ``picture`` has the mask's size. InputError where a class is unknown, nothing is labelled, or a picture is
    missing.
    """
    count = len(restorer.classes)
    labelled = mask[mask != IGNORE_INDEX]
    if labelled.size and labelled.max() >= count:
        raise InputError(f"the mask has value {labelled.max()}; the restorer has classes 0 to {count - 1}, and 255")
    if restorer.sees_pictures and picture is None:
        raise InputError(f"{restorer.where}: was trained with pictures; give them too")
    if picture is not None and picture.shape[:2] != mask.shape:
        found, wanted = (f"{shape[1]} x {shape[0]}" for shape in (picture.shape, mask.shape))
        raise InputError(f"the picture has {found} pixels, the mask {wanted}: they must be equal")
    given = stacked(mask, picture if restorer.sees_pictures else None)
    p = predict(restorer.network, given, tile, bf16=bf16).astype(np.float32)
    whole = p.argmax(0).astype(np.uint8)
    doubt = -(p * np.log(np.maximum(p, 1e-12))).sum(0)
    if restorer.degradation.exact:
        stays = mask != IGNORE_INDEX
        whole = np.where(stays, mask, whole)
        doubt = np.where(stays, 0.0, doubt)
    return Restored(whole.astype(np.uint8), np.asarray(doubt, np.float32), p)


def fitting(restorer: LoadedRestorer, mask: UInt8[Array, "h w"], size: tuple[int, int] | None) -> Array:
    """The mask at the size of what is wanted: of a restorer of small masks enlarged, to ``size`` where it is known."""
    factor = restorer.degradation.factor
    if size is None:
        size = (mask.shape[0] * factor, mask.shape[1] * factor)
    fits = mask.shape == size or (factor > 1 and mask.shape == tuple(-(-side // factor) for side in size))
    if not fits:
        found, wanted = f"{mask.shape[1]} x {mask.shape[0]}", f"{size[1]} x {size[0]}"
        part = f", or a {factor}th of it" if factor > 1 else ""
        raise InputError(f"the mask has {found} pixels, its picture {wanted}: expected that size{part}")
    return enlarged(mask, size) if mask.shape != size else mask


def restore_files(order: RestoringOrder, tell: Callable[[str], Any] = print, progress: bool = True) -> int:
    """Writes ``masks/NAME.png`` (8-bit indexed), ``uncertainty/NAME.png`` (grey, white is the most that is possible)
    and, of pictures, ``overlays/NAME.png``; the number of masks. ``tell`` hears of classes that were never seen."""
    device = resolve_device(order.device)
    restorer = load_restorer(order.model, device)
    bf16 = uses_bf16(order.precision, device)
    files = FolderOrZip(order.masks)
    names = files.pictures("masks") or files.images()
    pictures = None if order.images is None else FolderOrZip(order.images)
    found = {} if pictures is None else pictures.images()
    if pictures is None and restorer.sees_pictures:
        raise InputError(f"{order.model}: was trained with pictures; give their folder by images")
    if pictures is not None and (lacking := sorted(names.keys() - found.keys())):
        raise InputError(f"{order.images}: has no picture of {len(lacking)} masks, the first is {names[lacking[0]]}")
    folders = ["masks", "uncertainty", *(["overlays"] if pictures is not None else [])]
    claim(order.out, [f"{folder}/{stem}.png" for folder in folders for stem in names])
    for folder in folders:
        (order.out / folder).mkdir(parents=True, exist_ok=True)
    most, drawn, whole = math.log(len(restorer.classes)), np.zeros(256, np.int64), np.zeros(256, np.int64)
    for stem, name in Progress(sorted(names.items()), unit="mask", disable=not progress):
        mask = read_mask(files.read(name), name, restorer.classes)
        picture = None if pictures is None else read_image(pictures.read(found[stem]), found[stem])
        try:
            mask = fitting(restorer, mask, None if picture is None else picture.shape[:2])
            made = restore(restorer, mask, picture, order.tile, bf16)
        except InputError as error:
            raise InputError(f"{name}: {error}") from None
        drawn += np.bincount(mask.ravel(), minlength=256)
        whole += np.bincount(made.mask.ravel(), minlength=256)
        save_mask(order.out / "masks" / f"{stem}.png", made.mask, restorer.classes)
        shade = np.rint(255 * made.uncertainty / most).clip(0, 255).astype(np.uint8)
        Image.fromarray(shade).save(order.out / "uncertainty" / f"{stem}.png")
        if picture is not None:
            Image.fromarray(overlay(picture, made.mask, restorer.classes)).save(order.out / "overlays" / f"{stem}.png")
    for line in remarks(restorer, drawn, whole):
        tell(line)
    return len(names)


def remarks(restorer: LoadedRestorer, drawn: Array, whole: Array) -> list[str]:
    """Lines about classes that the restorer never learned of; ``drawn`` and ``whole`` are pixels by mask value."""
    lines = []
    for index, c in enumerate(restorer.classes):
        if c.name in restorer.unseen and drawn[index]:
            lines.append(
                f"{c.name}: no pixel of it was in what the restorer learned from; it stays where it is drawn, "
                f"and hardly grows ({drawn[index]} pixels drawn, {whole[index]} restored)"
            )
    return lines
