"""Masks that segmenters give to pictures nobody labelled: from an order to a job of the production line.

One file in the store has pictures and segmenters, so that it can be made again without either.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray as Array
from torch import Tensor

from labelfactory.array_types import Float, UInt8
from labelfactory.errors import InputError
from labelfactory.factory.device import resolve_device
from labelfactory.factory.pairs.opening import check_same_classes, open_pictures
from labelfactory.factory.pairs.packed import keep, packed, packed_bytes, sealed, unpacked_picture, unsealed
from labelfactory.factory.pairs.resized import parse_size, resized_picture
from labelfactory.factory.production.job import PSEUDO, Job
from labelfactory.factory.restyle.pseudo_order import PseudoLabelOrder
from labelfactory.factory.segmenters.catalogue import aim_of, load_segmenter
from labelfactory.factory.segmenters.inference import predict
from labelfactory.factory.segmenters.segmenter import Segmenter
from labelfactory.factory.training.precision import uses_bf16
from labelfactory.interpreters.classes import LabelClass, parse_class
from labelfactory.progress import Progress
from labelfactory.storage import ArraySpec, ClassInfo, DatasetSpec
from labelfactory.storage.arrays import ValueInfo
from labelfactory.tensor_file import TensorFile

FILE = TensorFile("labelfactory_pictures", "picture archive", "run the command that made its store again")
STEPS = 1 << 16  # parts of the range of the doubt in which a class's share is counted


@dataclass(frozen=True)
class PictureArchive:
    """Pictures of one size, segmenters' files, and how doubtful a pixel of each class may be, in nats."""

    names: tuple[str, ...]
    classes: tuple[LabelClass, ...]
    limits: tuple[float, ...]
    tile: int
    bf16: bool
    files: dict[str, Tensor]

    def picture(self, index: int) -> UInt8[Array, "height width channels"]:
        """One of the pictures."""
        return unpacked_picture(self.files[f"{index:07}.image"])

    def pack(self) -> tuple[bytes, str]:
        """The file's bytes and their sha256."""
        header: dict[str, Any] = {"names": list(self.names), "classes": [asdict(c) for c in self.classes]}
        header |= {"limits": list(self.limits), "tile": self.tile, "bf16": self.bf16}
        return sealed(FILE, self.files, header)


@lru_cache(maxsize=2)
def open_pictures_of(path: Path, sha256: str) -> PictureArchive:
    """An archive of that hash; InputError for another file."""
    header, files = unsealed(FILE, path, sha256, "what this dataset was made of")
    classes = tuple(parse_class(c, str(path)) for c in header["classes"])
    limits = tuple(map(float, header["limits"]))
    return PictureArchive(tuple(header["names"]), classes, limits, header["tile"], header["bf16"], files)


def prepare_pseudo_labels(
    order: PseudoLabelOrder, tell: Callable[[str], Any] = lambda line: None, progress: bool = True
) -> Job:
    """Reads and checks what an order names; creates no store yet. ``tell`` hears how much of each class is kept.

    InputError for segmenters of different classes, and pictures of different sizes where none is given.
    """
    device = resolve_device(order.device)
    networks, classes = _segmenters(order.segmenter)
    pictures = open_pictures(order.images)
    size = None if order.size is None else parse_size(order.size)
    files: dict[str, Tensor] = {}
    names, shape = [], None
    for index in Progress(range(len(pictures)), desc="pictures", disable=not progress):
        one = pictures[index]
        image = one.image if size is None else resized_picture(one.image, size)
        if shape is not None and image.shape != shape:
            told = (
                f"{one.name or index} is {'x'.join(map(str, image.shape))}, those before it {'x'.join(map(str, shape))}"
            )
            raise InputError(f"{order.images}: {told}: pictures of a store are alike; give a size, or one kind of them")
        shape = image.shape
        names.append(one.name or f"{index:07}")
        files[f"{index:07}.image"] = packed(image)
    if shape is None:
        raise InputError(f"{order.images}: there are no pictures to label")
    for number, path in enumerate(order.segmenter):
        files[f"segmenter.{number}"] = packed_bytes(path.read_bytes())
    bf16 = uses_bf16(order.precision, device)
    archive = PictureArchive(tuple(names), classes, (), order.tile, bf16, files)
    limits = tuple(float(np.log(len(classes))) + 1 for _ in classes)  # more than any doubt
    if order.share < 1:
        for network in networks:
            network.to(device)
        limits = _limits(archive, networks, order.share, progress)
        tell(f"the surest {100 * order.share:g} % of each class's pixels are labelled, the others are not (255)")
    archive = PictureArchive(tuple(names), classes, limits, order.tile, bf16, files)
    content, sha256 = archive.pack()
    kept = keep(FILE, content, sha256)
    about: dict[str, Any] = {"head": PSEUDO, "model": ""}
    agreement = ArraySpec(
        "agreement", "float16", ("sample", "y", "x"), shape[:2], "NaN", True, "label", **about,
        channels=(ValueInfo("segmenters", "share", 0.0, 1.0),),
    )  # fmt: skip
    spec = DatasetSpec(
        count=len(names),
        height=shape[0],
        width=shape[1],
        channels=shape[2],
        latent_dim=1,
        classes=tuple(ClassInfo(c.name, c.color, c.thing) for c in classes),
        generator=str(order.segmenter[0]),
        generator_sha256=hashlib.sha256(order.segmenter[0].read_bytes()).hexdigest(),
        interpreter_sha256=sha256,
        truncation=1.0,
        shard_size=order.shard_size,
        keep_quantile=order.keep,
        licence="unknown",
        label_arrays=(agreement, ArraySpec("source_picture", "uint64", ("sample",), (), 0, False, "label", **about)),
    )
    return Job(order.out, spec, str(kept), order.device)


def _segmenters(paths: Sequence[Path]) -> tuple[list[Segmenter], tuple[LabelClass, ...]]:
    found: list[Segmenter] = []
    classes: tuple[LabelClass, ...] = ()
    for path in paths:
        network, recipe = load_segmenter(path)
        own = aim_of(recipe, str(path)).classes
        if not isinstance(network, Segmenter) or network.margin:
            raise InputError(f"{path}: gives no class to every pixel; expected a segmenter of whole pictures")
        if found:
            check_same_classes(str(paths[0]), classes, str(path), own)
        else:
            classes = own
        found.append(network)
    return found, classes


def said(
    networks: Sequence[Segmenter], picture: UInt8[Array, "height width channels"], tile: int, bf16: bool
) -> tuple[UInt8[Array, "height width"], Float[Array, "height width"], Float[Array, "height width"]]:
    """Class of each pixel, its doubt (entropy of the mean probabilities, nats), share of segmenters of that class."""
    each = [predict(network, picture, tile, bf16=bf16).astype(np.float32) for network in networks]
    p = np.mean(each, axis=0)
    mask = p.argmax(0).astype(np.uint8)
    doubt = -(p * np.log(np.maximum(p, 1e-12))).sum(0)
    agree = np.mean([one.argmax(0) == mask for one in each], axis=0)
    return mask, np.asarray(doubt, np.float32), np.asarray(agree, np.float32)


def _limits(archive: PictureArchive, networks: Sequence[Segmenter], share: float, progress: bool) -> tuple[float, ...]:
    """Of each class the doubt below which the surest ``share`` of its pixels lie (Zou et al., arXiv 1810.07911)."""
    count, most = len(archive.classes), float(np.log(len(archive.classes)))
    counts = np.zeros((count, STEPS), np.int64)
    for index in Progress(range(len(archive.names)), desc="shares", disable=not progress):
        mask, doubt, _ = said(networks, archive.picture(index), archive.tile, archive.bf16)
        part = np.clip((doubt / most * STEPS).astype(np.int64), 0, STEPS - 1)
        counts += np.bincount((mask.astype(np.int64) * STEPS + part).ravel(), minlength=count * STEPS).reshape(
            count, -1
        )
    ends = counts.cumsum(1)
    places = [(row < share * row[-1]).sum() + 1 if row[-1] else STEPS for row in ends]
    return tuple(float(most * place / STEPS) for place in places)
