"""From events to labels: masks, objects and keypoints of one sample are a function of its events alone."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from labelfactory.errors import InputError
from labelfactory.factory.labels.strokes import Event
from labelfactory.interpreters.array_types import Bool, Int, UInt8
from labelfactory.interpreters.formats.drawing import fill_polygon
from labelfactory.limits import IGNORE_INDEX

SNAPSHOT_EVERY = 32  # events between two kept canvases: what an undo has to paint again at most


def stroke_pixels(
    points: Sequence[tuple[float | int, float | int]], radius: float | int, height: int, width: int
) -> Bool[np.ndarray, "height width"]:
    """Pixels whose centre is at most ``radius`` from the line through the points, and those that the points lie in."""
    out = np.zeros((height, width), bool)
    p = np.asarray(points, np.float64)
    for a, b in zip(p, p[1:] if len(p) > 1 else p, strict=False):
        (x0, y0), (x1, y1) = np.minimum(a, b) - radius, np.maximum(a, b) + radius
        left, right = max(0, int(np.floor(x0))), min(width, int(np.ceil(x1)) + 1)
        top, bottom = max(0, int(np.floor(y0))), min(height, int(np.ceil(y1)) + 1)
        if left >= right or top >= bottom:
            continue
        y, x = np.mgrid[top:bottom, left:right] + 0.5
        d, length = b - a, float(((b - a) ** 2).sum())
        t = np.clip(((x - a[0]) * d[0] + (y - a[1]) * d[1]) / length, 0, 1) if length else 0.0
        near = (x - a[0] - t * d[0]) ** 2 + (y - a[1] - t * d[1]) ** 2 <= radius**2
        out[top:bottom, left:right] |= near
    cells = np.floor(p).astype(int)  # a brush thinner than a pixel still paints the one that it touches
    inside = ((cells >= 0) & (cells < (width, height))).all(1)
    out[cells[inside, 1], cells[inside, 0]] = True
    return out


def runs_of(
    mask: UInt8[np.ndarray, "height width"], region: Bool[np.ndarray, "height width"]
) -> tuple[tuple[int, int, int], ...]:
    """The region's pixels as runs of (class, first pixel, number of pixels), row by row."""
    flat = np.where(region, mask.astype(np.int32), -1).ravel()
    starts = np.flatnonzero(np.diff(flat, prepend=-2))
    lengths = np.diff(np.append(starts, flat.size))
    return tuple((int(flat[s]), int(s), int(n)) for s, n in zip(starts, lengths, strict=True) if flat[s] >= 0)


@dataclass
class Canvas:
    """Labels of one sample. ``keypoints`` by name: x, y in pixels, and whether it is visible."""

    mask: UInt8[np.ndarray, "height width"]
    instance: Int[np.ndarray, "height width"]
    keypoints: dict[str, tuple[float | int, float | int, bool]] = field(default_factory=dict)
    done: bool = False

    @classmethod
    def blank(cls, height: int, width: int) -> "Canvas":
        return cls(np.full((height, width), IGNORE_INDEX, np.uint8), np.zeros((height, width), np.int32))

    def copy(self) -> "Canvas":
        return Canvas(self.mask.copy(), self.instance.copy(), dict(self.keypoints), self.done)

    def apply(self, event: Event) -> None:
        """Paints one event other than undo and redo. InputError where it does not fit the picture."""
        height, width = self.mask.shape
        if event.tool in ("brush", "eraser"):
            region = stroke_pixels(event.points, event.size, height, width)
            self._paint(region, IGNORE_INDEX if event.tool == "eraser" else event.value, event.instance)
        elif event.tool == "polygon":
            outline = np.asarray(event.points, np.float64)
            self._paint(fill_polygon(outline, height, width), event.value, event.instance)
        elif event.tool == "pixels":
            for value, first, count in event.runs:
                if first + count > self.mask.size:
                    raise InputError(f"event: a run ends at pixel {first + count}; the picture has {self.mask.size}")
                self.mask.ravel()[first : first + count] = value
                self.instance.ravel()[first : first + count] = event.instance
        elif event.tool == "merge":
            self.instance[np.isin(self.instance, event.objects)] = min(event.objects)
        elif event.tool == "split":
            self._split(event)
        elif event.tool == "keypoint":
            if event.points:
                self.keypoints[event.name] = (*event.points[0], event.visible)
            else:
                self.keypoints.pop(event.name, None)
        elif event.tool == "done":
            self.done = event.done

    def _paint(self, region: Bool[np.ndarray, "height width"], value: int, instance: int) -> None:
        self.mask[region] = value
        self.instance[region] = 0 if value == IGNORE_INDEX else instance

    def _split(self, event: Event) -> None:
        """Cuts an object along a line: the largest part keeps its number, the others get new ones."""
        from scipy import ndimage

        whole = self.instance == event.objects[0]
        cut = stroke_pixels(event.points, 0.75, *self.mask.shape)
        parts, count = ndimage.label(whole & ~cut, structure=np.ones((3, 3)))
        if count < 2:
            raise InputError(f"split: the line does not cut object {event.objects[0]} in two; draw it right across")
        sizes = np.bincount(parts.ravel(), minlength=count + 1)[1:]
        numbers = np.zeros(count + 1, np.int64)
        numbers[1 + np.argsort(-sizes, kind="stable")] = [
            event.objects[0],
            *range(self.instance.max() + 1, self.instance.max() + count),
        ]
        nearest = ndimage.distance_transform_edt(parts == 0, return_distances=False, return_indices=True)
        self.instance[whole] = numbers[parts[tuple(nearest)]][whole]


class History:
    """The events of one sample, with undo and redo, and the canvas that they give."""

    def __init__(self, height: int, width: int) -> None:
        self._size = height, width
        self.events: list[Event] = []
        self._undone: list[Event] = []
        self._snapshots = [Canvas.blank(height, width)]  # after 0, SNAPSHOT_EVERY, 2 SNAPSHOT_EVERY ... events
        self.canvas = self._snapshots[0].copy()

    def add(self, event: Event) -> None:
        """Takes an event in; InputError, and nothing changes, where it cannot be applied."""
        if event.tool == "undo":
            if not self.events or self.events[-1].source == "labelset":
                raise InputError("there is nothing to undo on this image")
            self._undone.append(self.events.pop())
            del self._snapshots[len(self.events) // SNAPSHOT_EVERY + 1 :]
            self.canvas = self._snapshots[-1].copy()
            for earlier in self.events[(len(self._snapshots) - 1) * SNAPSHOT_EVERY :]:
                self.canvas.apply(earlier)
        elif event.tool == "redo":
            if not self._undone:
                raise InputError("there is nothing to do again on this image")
            self._push(self._undone.pop())
        else:
            self._push(event)
            self._undone.clear()

    def _push(self, event: Event) -> None:
        attempt = self.canvas.copy()
        attempt.apply(event)
        self.canvas = attempt
        self.events.append(event)
        if len(self.events) % SNAPSHOT_EVERY == 0:
            self._snapshots.append(self.canvas.copy())

    @property
    def strokes(self) -> int:
        """Acts of a person that are in force."""
        return sum(event.source == "person" and event.tool != "done" for event in self.events)

    @property
    def state(self) -> str:
        return "done" if self.canvas.done else "strokes" if self.events else "untouched"


def replay(events: Iterable[Event], names: Sequence[str], height: int, width: int) -> dict[str, History]:
    """Every sample's history from a log. InputError for an event of a sample that is not there."""
    histories = {name: History(height, width) for name in names}
    for event in events:
        if event.sample not in histories:
            raise InputError(f"the log has strokes on {event.sample}, which the label set lacks; put the image back")
        histories[event.sample].add(event)
    return histories
