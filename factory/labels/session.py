"""A label set while it is being labelled: what is drawn, kept stroke by stroke, and written back as masks."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from labelfactory.errors import InputError, WorkError
from labelfactory.factory.labels.painting import Canvas, History, replay, runs_of
from labelfactory.factory.labels.strokes import Event, StrokeLog
from labelfactory.interpreters.array_types import Bool, UInt8
from labelfactory.interpreters.checked_json import field, read_json
from labelfactory.interpreters.labelset import LabelSet, Sample
from labelfactory.limits import IGNORE_INDEX
from labelfactory.ownership import claim
from labelfactory.whole_files import whole_file

OBJECTS, FIDELITIES = "objects", "inversion.json"
Accept = Literal["all", "class", "region"]


class LabelSession:
    """Opens a label set's folder for drawing; one process at a time. ``close`` it, or use it as a context.

    Labels that the set has already are the first events of its log. ``note`` says what opening had to mend.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.labels = folder, LabelSet.load(folder)
        if not len(self.labels):
            raise InputError(f"{folder}: has no images; `factory sample` chooses some")
        self.names = [s.name for s in self.labels]
        claim(folder, [f"{OBJECTS}/{name}.png" for name in self.names])
        self.log = StrokeLog.open(folder)
        try:
            if not self.log.events:
                self._take_over()
            self.histories = self._replayed()
        except BaseException:
            self.log.close()
            raise
        self.note = self.log.note
        self.fidelities = self._known_fidelities()

    def __enter__(self) -> "LabelSession":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.log.close()

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the images."""
        height, width = self.labels.samples[0].mask.shape
        return height, width

    def canvas(self, name: str) -> Canvas:
        return self.history(name).canvas

    def history(self, name: str) -> History:
        if name not in self.histories:
            raise InputError(f"sample {name[:60]!r}: not in this label set")
        return self.histories[name]

    def add(self, event: Event, tab: str = "") -> int:
        """Takes an event in and keeps it; the new revision of the log.

        Raises InputError for what does not fit the set, WorkError where the disk refuses; nothing has changed then.
        """
        self._check(event)
        self.history(event.sample).add(event)
        try:
            return self.log.append(event, tab=tab)
        except WorkError:
            self.histories = self._replayed()
            raise

    def accepted(
        self,
        name: str,
        proposal: UInt8[np.ndarray, "height width"],
        what: Accept = "all",
        value: int = 0,
        point: tuple[float, float] | None = None,
    ) -> Event:
        """The event that takes a proposal over where nobody has drawn: all, one class, or the region at a point."""
        free = (self.canvas(name).mask == IGNORE_INDEX) & (proposal != IGNORE_INDEX)
        if what == "class":
            free &= proposal == value
        elif what == "region":
            free &= region_at(proposal, point or (-1, -1))
        if not free.any():
            raise InputError("there is nothing to accept here: everything is labelled already")
        return Event(name, "pixels", runs=runs_of(proposal, free), source="proposal")

    def filled(
        self,
        name: str,
        proposal: UInt8[np.ndarray, "height width"],
        value: int,
        point: tuple[float, float],
        instance: int = 0,
    ) -> Event:
        """The event that paints the region at a point, as it is drawn or else proposed, in a class."""
        drawn = self.canvas(name).mask
        shown = np.where(drawn == IGNORE_INDEX, proposal, drawn)
        region = region_at(shown, point)
        runs = runs_of(np.full_like(shown, value), region)
        return Event(name, "pixels", runs=runs, instance=instance)

    def current(self) -> LabelSet:
        """The label set as it is drawn now."""
        samples = []
        for sample in self.labels:
            canvas = self.canvas(sample.name)
            points = None
            if canvas.keypoints:
                points = np.zeros((len(self.labels.keypoints), 3), np.float32)
                for name, (x, y, visible) in canvas.keypoints.items():
                    points[self.labels.keypoints.index(name)] = x, y, 2 if visible else 1
            samples.append(sample._replace(mask=canvas.mask.copy(), keypoints=points))
        return replace(self.labels, samples=tuple(samples))

    def extend(self, samples: Sequence[Sample], fidelities: Mapping[str, float]) -> None:
        """Adds images, and writes them and how well each was explained (``inversion.json``) into the folder."""
        new = [s for s in samples if s.name not in self.names]
        self.labels = replace(self.labels, samples=(*self.labels.samples, *new))
        self.names = [s.name for s in self.labels]
        self.histories |= {s.name: History(*self.size) for s in new}
        self.fidelities |= {s.name: fidelities[s.name] for s in new}
        self.save()
        with whole_file(self.folder / FIDELITIES) as file:
            told = [{"name": name, "fidelity": value} for name, value in self.fidelities.items()]
            file.write((json.dumps(told, indent=1) + "\n").encode())

    def _known_fidelities(self) -> dict[str, float]:
        """What ``factory invert`` or an earlier session said of photographs; none for other sets."""
        path = self.folder / FIDELITIES
        if not path.is_file():
            return {}
        where, entries = str(path), read_json(path, list)
        return {field(entry, "name", str, where): field(entry, "fidelity", float, where) for entry in entries}

    def save(self) -> LabelSet:
        """Writes masks, keypoints and object numbers (``objects/NAME.png``, 16 bit) into the folder; gives the set."""
        labels = self.current()
        labels.save(self.folder, overwrite=True)
        numbered = {name: self.canvas(name).instance for name in self.names if self.canvas(name).instance.any()}
        if numbered:
            (self.folder / OBJECTS).mkdir(exist_ok=True)
        for name, numbers in numbered.items():
            with whole_file(self.folder / OBJECTS / f"{name}.png") as file:
                Image.fromarray(numbers.astype(np.uint16)).save(file, "PNG")
        return labels

    def _take_over(self) -> None:
        """What the set had before anybody drew here, as events of their own: the log alone says everything."""
        events = []
        for sample in self.labels:
            labelled = sample.mask != IGNORE_INDEX
            if labelled.any():
                events.append(Event(sample.name, "pixels", runs=runs_of(sample.mask, labelled), source="labelset"))
            for name, point in zip(
                self.labels.keypoints, () if sample.keypoints is None else sample.keypoints, strict=False
            ):
                if point[2]:
                    place = (float(point[0]), float(point[1]))
                    events.append(
                        Event(
                            sample.name,
                            "keypoint",
                            points=(place,),
                            name=name,
                            visible=bool(point[2] == 2),
                            source="labelset",
                        )
                    )
        if events:
            self.log.append(*events)

    def _replayed(self) -> dict[str, History]:
        return replay(self.log.events, self.names, *self.size)

    def _check(self, event: Event) -> None:
        count = len(self.labels.classes)
        values = {event.value} if event.tool in ("brush", "polygon") else {v for v, _, _ in event.runs} - {IGNORE_INDEX}
        if values and max(values) >= count:
            raise InputError(f"class {max(values)}: this label set has classes 0 to {count - 1}")
        if event.tool == "keypoint" and event.name not in self.labels.keypoints:
            raise InputError(
                f"keypoint {event.name[:60]!r}: this label set has {', '.join(self.labels.keypoints) or 'none'}"
            )


def region_at(mask: UInt8[np.ndarray, "height width"], point: tuple[float, float]) -> Bool[np.ndarray, "height width"]:
    """The connected pixels (corners count) of one class around a point; InputError for a point outside."""
    from scipy import ndimage

    x, y = int(np.floor(point[0])), int(np.floor(point[1]))
    if not (0 <= x < mask.shape[1] and 0 <= y < mask.shape[0]):
        raise InputError(f"point {point[0]:g}, {point[1]:g}: outside of the picture")
    parts, _ = ndimage.label(mask == mask[y, x], structure=np.ones((3, 3)))
    found: Bool[np.ndarray, "height width"] = parts == parts[y, x]
    return found
