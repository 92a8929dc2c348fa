"""Pairs brought to one size: pictures filtered, labels by their nearest pixel."""

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy import ndarray as Array
from PIL import Image

from labelfactory.array_types import Shaped, UInt8
from labelfactory.errors import InputError
from labelfactory.factory.pairs.pairs import Pair, Pairs


def parse_size(text: str) -> tuple[int, int]:
    """Height and width of a text like 180x240."""
    if not re.fullmatch(r"\d+x\d+", text):
        raise InputError(f"size {text!r}: expected HEIGHTxWIDTH in pixels, like 180x240")
    height, width = (int(side) for side in text.split("x"))
    if min(height, width) < 1:
        raise InputError(f"size {text}: expected sides of 1 pixel or more")
    return height, width


def resized_picture(
    image: UInt8[Array, "height width channels"], size: tuple[int, int]
) -> UInt8[Array, "high wide channels"]:
    """The picture, filtered (Lanczos, as training images are); as it is where it has the size."""
    if image.shape[:2] == size:
        return image
    flat = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
    found = np.asarray(flat.resize(size[::-1], Image.Resampling.LANCZOS))
    return found[..., None] if image.shape[2] == 1 else found


def nearest(labels: Shaped[Array, "height width"], size: tuple[int, int]) -> Shaped[Array, "high wide"]:
    """The label at the centre of each pixel of the new size."""
    if labels.shape == size:
        return labels
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(np.int64) for new, old in zip(size, labels.shape, strict=True)
    )
    return np.asarray(labels[rows[:, None], columns[None, :]])


def resized(pair: Pair, size: tuple[int, int]) -> Pair:
    """The pair at another height and width, its key points too."""
    if pair.mask.shape == size:
        return pair
    factor = np.array([size[1] / pair.mask.shape[1], size[0] / pair.mask.shape[0], 1], np.float32)
    return replace(
        pair,
        image=resized_picture(pair.image, size),
        mask=nearest(pair.mask, size),
        weights=None if pair.weights is None else nearest(pair.weights, size),
        instances=None if pair.instances is None else nearest(pair.instances, size),
        keypoints=None if pair.keypoints is None else (pair.keypoints * factor).astype(np.float32),
    )


class ResizedPairs(Pairs):
    """The pairs of another collection at one height and width."""

    def __init__(self, pairs: Pairs, size: tuple[int, int]) -> None:
        self.pairs, self.size = pairs, size

    def __len__(self) -> int:
        return len(self.pairs)

    def fetch(self, indices: Sequence[int]) -> list[Pair]:
        """The pairs of these numbers."""
        return [resized(pair, self.size) for pair in self.pairs.fetch(indices)]
