"""A rectangle of the generator's picture: the part that a domain of another shape uses (cars: 384 of 512 rows).

Feature maps are never cut: a small map's pixels do not end where the rectangle does. Everything that is computed from
them is computed in the whole picture's coordinates, for the rectangle's pixels.
"""

import re
from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np

from labelfactory.errors import InputError
from labelfactory.interpreters.array_types import Shaped


@dataclass(frozen=True)
class Crop:
    """Rows ``top`` to ``bottom`` and columns ``left`` to ``right`` (the last ones excluded), in pixels."""

    top: int
    bottom: int
    left: int
    right: int

    def __post_init__(self) -> None:
        if not (0 <= self.top < self.bottom and 0 <= self.left < self.right):
            raise InputError(f"crop {self}: expected 0 <= top < bottom and 0 <= left < right")

    def __str__(self) -> str:
        return f"{self.top}:{self.bottom},{self.left}:{self.right}"

    @classmethod
    def parse(cls, text: str, height: int, width: int) -> "Crop":
        """``top:bottom`` (all columns) or ``top:bottom,left:right``. InputError where it is neither, or reaches out."""
        found = re.fullmatch(r"\s*(\d{1,6}):(\d{1,6})(?:\s*,\s*(\d{1,6}):(\d{1,6}))?\s*", text)
        if found is None:
            raise InputError(f"crop {text!r}: expected top:bottom or top:bottom,left:right in pixels, like 64:448")
        top, bottom, left, right = (None if n is None else int(n) for n in found.groups())
        if top is None or bottom is None or not top < bottom or (left is not None and not left < (right or 0)):
            raise InputError(f"crop {text!r}: each range has to begin before it ends")
        crop = cls(top, bottom, left or 0, width if right is None else right)
        crop.check(height, width)
        return crop

    @classmethod
    def of(cls, numbers: Sequence[int]) -> "Crop | None":
        """From top, bottom, left, right as files keep them; None for none."""
        return cls(*numbers) if numbers else None

    @property
    def numbers(self) -> tuple[int, int, int, int]:
        return astuple(self)

    @property
    def slices(self) -> tuple[slice, slice]:
        """What picks it from an array's rows and columns."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    @property
    def height(self) -> int:
        return self.bottom - self.top

    @property
    def width(self) -> int:
        return self.right - self.left

    def check(self, height: int, width: int) -> None:
        """InputError where it reaches beyond a picture of that size."""
        if self.bottom > height or self.right > width:
            raise InputError(f"crop {self}: reaches beyond the generator's {height} x {width} pixels (rows x columns)")

    def within(self, other: "Crop") -> bool:
        rows = other.top <= self.top and self.bottom <= other.bottom
        return rows and other.left <= self.left and self.right <= other.right

    def embed(
        self, inside: Shaped[np.ndarray, "*any rows columns"], around: Shaped[np.ndarray, "*any height width"]
    ) -> Shaped[np.ndarray, "*any height width"]:
        """A copy of ``around`` with ``inside`` in its place."""
        out = around.copy()
        out[..., *self.slices] = inside
        return out


def whole(size: tuple[int, int]) -> Crop:
    """The rectangle that leaves nothing out."""
    return Crop(0, size[0], 0, size[1])
