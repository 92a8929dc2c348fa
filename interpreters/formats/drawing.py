"""What a person drew on one image, whatever the tool: labelled shapes in drawing order, and how they become pixels.

Coordinates are continuous, in pixels: pixel (x, y) covers [x, x+1) x [y, y+1), its centre is (x + 0.5, y + 0.5).
The rasterisation rule of every shape with an outline: **a pixel belongs to it where the pixel's centre lies inside**
(polygons that cross themselves: even-odd rule; a centre right on the outline belongs to what is right of or below it).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

import numpy as np

from labelfactory.errors import InputError
from labelfactory.interpreters.array_types import Bool, Float

IGNORE_LABEL = "__ignore__"
"""The label of pixels that are not labelled (255 in masks), as labelme calls it."""
BACKGROUND_LABEL = "_background_"
"""The label of the first class, as labelme calls it."""
FAR = 1e6  # pixels: no picture reaches further, so a coordinate beyond it is a mistake


@dataclass(frozen=True, eq=False)
class Polygons:
    """The union of closed outlines, each ``[n, 2]`` of x, y; with ``even_odd`` what lies inside of two is a hole."""

    outlines: tuple[Float[np.ndarray, "..."], ...]
    even_odd: bool = False

    def fill(self, height: int, width: int) -> Bool[np.ndarray, "height width"]:
        out = np.zeros((height, width), dtype=bool)
        join = np.logical_xor if self.even_odd else np.logical_or
        for outline in self.outlines:
            join(out, fill_polygon(outline, height, width), out=out)
        return out


@dataclass(frozen=True)
class Ellipse:
    """Centre, radii (pixels) and clockwise turn (degrees, y points down). A circle has equal radii."""

    cx: float
    cy: float
    rx: float
    ry: float
    angle: float = 0.0

    def fill(self, height: int, width: int) -> Bool[np.ndarray, "height width"]:
        if self.rx <= 0 or self.ry <= 0:
            return np.zeros((height, width), dtype=bool)
        y, x = np.mgrid[:height, :width] + 0.5
        a = np.deg2rad(self.angle)
        u = (x - self.cx) * np.cos(a) + (y - self.cy) * np.sin(a)
        v = (y - self.cy) * np.cos(a) - (x - self.cx) * np.sin(a)
        return (u / self.rx) ** 2 + (v / self.ry) ** 2 <= 1


@dataclass(frozen=True, eq=False)
class Bitmap:
    """Pixels given one by one, the first of them at (x, y)."""

    pixels: Bool[np.ndarray, "rows columns"]
    x: int = 0
    y: int = 0

    def fill(self, height: int, width: int) -> Bool[np.ndarray, "height width"]:
        out = np.zeros((height, width), dtype=bool)
        rows, columns = self.pixels.shape
        y0, x0 = max(self.y, 0), max(self.x, 0)
        y1, x1 = min(self.y + rows, height), min(self.x + columns, width)
        if y0 < y1 and x0 < x1:
            out[y0:y1, x0:x1] = self.pixels[y0 - self.y : y1 - self.y, x0 - self.x : x1 - self.x]
        return out

    def trimmed(self) -> "Bitmap":
        """The same without empty rows and columns around it: many large bitmaps are small in memory."""
        rows, columns = np.flatnonzero(self.pixels.any(1)), np.flatnonzero(self.pixels.any(0))
        if not len(rows):
            return Bitmap(np.zeros((0, 0), dtype=bool), self.x, self.y)
        top, left = int(rows[0]), int(columns[0])
        inside = self.pixels[top : rows[-1] + 1, left : columns[-1] + 1]
        return Bitmap(inside.copy(), self.x + left, self.y + top)


@dataclass(frozen=True)
class NoArea:
    """What gives no pixels, such as a line: refused for this reason unless its label is ignored."""

    reason: str

    def fill(self, height: int, width: int) -> Bool[np.ndarray, "height width"]:
        return np.zeros((height, width), dtype=bool)


Region = Polygons | Ellipse | Bitmap | NoArea
"""Something with ``fill(height, width)``: the pixels that it covers in an image of that size, the rest cut off."""


class Shape(NamedTuple):
    """One drawn shape. ``where`` is what an error names; shapes of equal ``(label, group)`` are one object."""

    label: str
    region: Region
    where: str
    group: int | None = None


class Keypoint(NamedTuple):
    """A named point, pixels; ``visible`` is false where the person marked it as hidden."""

    label: str
    x: float
    y: float
    where: str
    visible: bool = True


@dataclass
class Drawing:
    """All that a source says of one image.

    Attributes:
        names: what the image may be called, the best guess first (file stems or embedded ids).
        where: file and place, for errors.
        size: (height, width) as the source declares it, where it does.
        notes: what the reader left out or guessed, for the report.
        said: what it means where there are no shapes and no points: a person left the image empty ("drawn"), the file
            merely lists it ("listed"), or nobody has worked on it yet ("unopened").
    """

    names: tuple[str, ...]
    where: str
    size: tuple[int, int] | None = None
    shapes: list[Shape] = field(default_factory=list)
    keypoints: list[Keypoint] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    said: Literal["drawn", "listed", "unopened"] = "drawn"

    @property
    def empty(self) -> bool:
        """Whether there is nothing in it."""
        return not self.shapes and not self.keypoints

    def renamed(self, said: Callable[[str], str]) -> "Drawing":
        """The drawing with places as ``said`` puts them, for sources that lie in a temporary folder."""
        return replace(
            self,
            where=said(self.where),
            shapes=[s._replace(where=said(s.where)) for s in self.shapes],
            keypoints=[k._replace(where=said(k.where)) for k in self.keypoints],
            notes=[said(n) for n in self.notes],
        )


def outline(points: Iterable[tuple[float, float]], where: str) -> Float[np.ndarray, "points 2"]:
    """Checked corner points of a polygon. InputError where there are fewer than three or one lies far outside."""
    array = np.array(list(points), dtype=np.float64).reshape(-1, 2)
    if len(array) < 3:
        raise InputError(f"{where}: a polygon of {len(array)} points; expected 3 or more")
    if np.abs(array).max() > FAR:
        raise InputError(f"{where}: a corner at {np.abs(array).max():g} pixels; expected points in the image")
    return array


def fill_polygon(points: Float[np.ndarray, "points 2"], height: int, width: int) -> Bool[np.ndarray, "height width"]:
    """Even-odd fill of one closed outline: each edge flips all pixels of its rows whose centre lies right of it."""
    flips = np.zeros((height, width + 1), dtype=bool)
    start, end = points, np.roll(points, -1, axis=0)
    for (x0, y0), (x1, y1) in zip(start, end, strict=True):
        if y0 == y1:
            continue
        if y0 > y1:
            x0, y0, x1, y1 = x1, y1, x0, y0
        first, last = np.clip(np.ceil(np.array([y0, y1]) - 0.5), 0, height).astype(int)  # rows with centre in [y0, y1)
        rows = np.arange(first, last)
        crossing = x0 + (rows + 0.5 - y0) * ((x1 - x0) / (y1 - y0))
        columns = np.clip(np.ceil(crossing - 0.5), 0, width).astype(int)
        flips[rows, columns] ^= True
    return np.logical_xor.accumulate(flips[:, :width], axis=1)
