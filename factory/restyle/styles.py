"""Style pictures: read, brought to a size, and which of them each pair gets, in which order."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from numpy import ndarray as Array

from labelfactory.array_types import Int, UInt8
from labelfactory.errors import InputError
from labelfactory.factory.pairs.labelled import FolderOrZip
from labelfactory.factory.pairs.resized import resized_picture
from labelfactory.factory.pixels import from_uint8
from labelfactory.factory.restyle.encoder import Encoder, described
from labelfactory.factory.restyle.restyler import StylePictures
from labelfactory.interpreters.pictures import read_image
from labelfactory.progress import Progress

MOST = 2**16 - 1
LEAST_SIDE = 16  # pixels: less has no features of relu4_1
Picture = UInt8[Array, "_ _ _"]  # sizes may differ from picture to picture


class StyleFiles:
    """The style pictures of a folder or zip, as 8-bit pictures whose longer side is ``side``; in order of their names.

    InputError where one cannot be read, or there is none.
    """

    def __init__(self, path: Path, side: int, progress: bool = True) -> None:
        files = FolderOrZip(path)
        found = sorted(files.images().items())
        if len(found) > MOST:
            raise InputError(f"{path}: holds {len(found)} pictures; expected {MOST} style pictures at most")
        self.path, self.names = path, tuple(stem for stem, _ in found)
        pictures, hashes, self.grey = [], [], 0
        for _, name in Progress(found, desc="style pictures", disable=not progress):
            content = files.read(name)
            hashes.append(hashlib.sha256(content).hexdigest())
            picture = fitted(read_image(content, f"{path}: {name}"), side)
            self.grey += picture.shape[2] == 1 or bool((picture == picture[..., :1]).all())
            pictures.append(picture)
        self.pictures, self.hashes = tuple(pictures), tuple(hashes)

    def remarks(self, colour: bool) -> list[str]:
        """What a person should know of them before pairs of ``colour`` are restyled."""
        if not (colour and self.grey):
            return []
        told = f"{self.path}: {self.grey} of {len(self.names)} style pictures are grey"
        return [f"{told}; colour pairs lose their colours there"]


def fitted(picture: Picture, side: int) -> Picture:
    """The picture with ``side`` pixels on its longer side, and no side below what networks can see."""
    height, width = picture.shape[:2]
    factor = side / max(height, width)
    size = (max(LEAST_SIDE, round(height * factor)), max(LEAST_SIDE, round(width * factor)))
    return resized_picture(picture, size)


def style_pictures(pictures: Iterable[Picture], hashes: Iterable[str], names: Iterable[str]) -> StylePictures:
    """As networks see them: three channels in [-1, 1]."""
    tensors = [as_tensor(picture) for picture in pictures]
    return StylePictures(tuple(tensors), tuple(hashes), tuple(names))


def as_tensor(picture: Picture) -> torch.Tensor:
    """Channels first, grey repeated, in [-1, 1]."""
    return from_uint8(torch.from_numpy(picture.copy()).permute(2, 0, 1)).expand(3, -1, -1).contiguous()


def nearest_orders(
    encoder: Encoder,
    pairs: Iterable[Picture],
    styles: StylePictures,
    count: int,
    progress: bool = True,
) -> Int[Array, "pairs styles"]:
    """For each picture the numbers of all styles, that with the nearest Gram matrix first."""
    device = next(encoder.parameters()).device
    known = torch.stack([described(encoder, p.to(device)).half() for p in styles.pictures])
    found = np.empty((count, len(known)), np.int32)
    for place, picture in enumerate(Progress(pairs, total=count, desc="nearest styles", disable=not progress)):
        near = known.float() @ described(encoder, as_tensor(picture).to(device))
        found[place] = near.neg().argsort(stable=True).cpu().numpy()
    return found


def style_of(
    choice: str, seed: int, pair: int, turn: int, styles: int, nearest: Int[Array, "pairs styles"] | None = None
) -> int:
    """The style picture of a pair's ``turn``-th restyling; no pair gets one twice before it has had all."""
    if nearest is not None:
        return int(nearest[pair, turn])
    if choice == "round-robin":
        return (pair + turn) % styles
    rng = np.random.Generator(np.random.Philox(key=[seed, pair]))
    return int(rng.permutation(styles)[turn])
