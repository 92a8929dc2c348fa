"""What a person does while labelling: events, and the append-only log that keeps each of them at once.

The log is ``annotation.jsonl`` in the label set's folder, one event a line, flushed to the disk before it counts. Each
line carries a hash over itself and the line before: a line that a crash tore is told from one that was changed. Masks,
objects and keypoints are functions of the log (``labels.painting``): equal logs give equal bytes.
"""

import fcntl
import hashlib
import json
import math
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from labelfactory.errors import InputError, WorkError

LOG, LOCK = "annotation.jsonl", ".annotation.lock"
BEGIN = b'{"n": 0, "time": '  # of the first line; a crash may have left zeros in its place
TOOLS = ("brush", "eraser", "polygon", "pixels", "keypoint", "merge", "split", "undo", "redo", "done")
MAX_POINTS = 10_000  # of one stroke: minutes of drawing without lifting the pen
FAR = 1e5  # pixels; no picture reaches further
MAX_LINE = 8 * 2**20


@dataclass(frozen=True)
class Event:
    """One act on one sample.

    sample     its name in the label set
    tool       one of ``TOOLS``
    value      class id that is painted (brush, polygon)
    points     corners of the stroke or outline, (x, y) in pixels; pixel (0, 0) covers [0, 1) x [0, 1)
    size       radius of the brush, pixels
    instance   number of the object that the pixels belong to, 0: none
    runs       for "pixels": (class id, first pixel, number of pixels) row by row; class 255 takes the label away
    objects    numbers of objects: those to merge, or the one to split along ``points``
    name       keypoint; it is taken away where ``points`` is empty
    visible    of the keypoint
    done       for "done": whether the sample is finished
    source     who decided: "person", "proposal" (accepted), "labelset" (was there before)
    id         of the page's message: one that is sent again after a lost answer is known by it
    """

    sample: str
    tool: str
    value: int = 0
    points: tuple[tuple[float | int, float | int], ...] = ()
    size: float | int = 1.0
    instance: int = 0
    runs: tuple[tuple[int, int, int], ...] = ()
    objects: tuple[int, ...] = ()
    name: str = ""
    visible: bool = True
    done: bool = False
    source: str = "person"
    id: str = ""

    def to_json(self) -> dict[str, Any]:
        """Only what differs from the default: most events have three or four fields."""
        default = Event("", "")
        return {k: v for k, v in vars(self).items() if k in ("sample", "tool") or v != getattr(default, k)}

    @classmethod
    def from_json(cls, document: Any) -> "Event":
        """Checked: InputError, in one line, for anything that is no event."""
        if not isinstance(document, dict):
            raise InputError(f"an event is a {type(document).__name__}; expected an object")
        unknown = document.keys() - cls.__dataclass_fields__.keys()
        if unknown:
            raise InputError(f"an event has {', '.join(sorted(map(str, unknown))[:3])}; expected fields of Event")
        for name, kind in _KINDS.items():
            value = document.get(name)
            if value is not None and (not isinstance(value, kind) or (kind is not bool and isinstance(value, bool))):
                raise InputError(f"event: {name} is {str(value)[:40]!r}; expected {_NAMES[name]}")
        tool = document.get("tool")
        if tool not in TOOLS or not isinstance(document.get("sample"), str):
            raise InputError(f"event: tool {str(tool)[:40]!r}; expected one of {', '.join(TOOLS)}, and a sample's name")
        given = dict(document)
        given["points"] = tuple(checked_point(p) for p in document.get("points", ()))
        given["runs"] = tuple(_run(r) for r in document.get("runs", ()))
        given["objects"] = tuple(_whole("objects", v, 65535) for v in document.get("objects", ()))
        event = cls(**given)
        event._check()
        return event

    def _check(self) -> None:
        _whole("value", self.value, 255)
        _whole("instance", self.instance, 65535)
        if not (math.isfinite(self.size) and 0 < self.size <= FAR):
            raise InputError(f"event: size is {self.size}; expected a radius above 0 pixels")
        if len(self.points) > MAX_POINTS:
            raise InputError(f"event: {len(self.points)} points; expected at most {MAX_POINTS}")
        least = {"brush": 1, "eraser": 1, "polygon": 3, "split": 2}.get(self.tool, 0)
        if len(self.points) < least:
            raise InputError(f"event: {self.tool} of {len(self.points)} points; expected {least} or more")
        if self.tool == "keypoint" and (not self.name or len(self.points) > 1):
            raise InputError("event: a keypoint has a name, and one point or none")
        if self.tool in ("merge", "split") and len(self.objects) < (2 if self.tool == "merge" else 1):
            raise InputError(f"event: {self.tool} of {len(self.objects)} objects; expected more")


_KINDS: dict[str, Any] = {
    "value": int, "points": (list, tuple), "size": (int, float), "instance": int, "runs": (list, tuple),
    "objects": (list, tuple), "name": str, "visible": bool, "done": bool, "source": str, "id": str,
}  # fmt: skip
_NAMES = {
    "value": "a class id", "points": "a list of points", "size": "a number", "instance": "an object's number",
    "runs": "a list of runs", "objects": "a list of numbers", "name": "a text", "visible": "true or false",
    "done": "true or false", "source": "a text", "id": "a text",
}  # fmt: skip


def _whole(what: str, value: Any, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise InputError(f"event: {what} is {str(value)[:40]}; expected a whole number, 0 to {most}")
    return value


def checked_point(given: Any) -> tuple[float, float]:
    """x, y in pixels; InputError for anything else."""
    numbers = given if isinstance(given, list | tuple) else ()
    real = [float(v) for v in numbers if isinstance(v, int | float) and not isinstance(v, bool) and abs(v) <= FAR]
    if len(numbers) != 2 or len(real) != 2:  # nan fails the comparison
        raise InputError(f"event: point {str(given)[:40]}; expected x, y in pixels")
    return real[0], real[1]


def _run(given: Any) -> tuple[int, int, int]:
    if not isinstance(given, list | tuple) or len(given) != 3:
        raise InputError(f"event: run {str(given)[:40]}; expected class, first pixel, number of pixels")
    return _whole("class of a run", given[0], 255), _whole("run", given[1], 2**31), _whole("run", given[2], 2**31)


@dataclass
class StrokeLog:
    """The events of a label set in their order; ``note`` says what opening it had to mend.

    One process may write it at a time: another that opens it meanwhile gets an InputError.
    """

    path: Path
    events: list[Event] = field(default_factory=list)
    note: str = ""
    _last: str = ""
    _file: int = -1
    _lock: int = -1

    @classmethod
    def open(cls, folder: Path) -> "StrokeLog":
        """The log of a label set's folder. A last line that a crash tore is cut off.

        Raises InputError where another process writes it, or a line before the last is not as it was written.
        """
        log = cls(folder / LOG)
        try:
            log._lock = os.open(folder / LOCK, os.O_CREAT | os.O_RDWR, 0o644)
        except OSError as error:
            raise InputError(f"{folder}: cannot be written ({error.strerror}); labelling needs to") from None
        try:
            fcntl.flock(log._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(log._lock)
            raise InputError(f"{folder}: is being labelled by another process; close that one first") from None
        try:
            kept = log._read()
            log._file = os.open(log.path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o644)
            if os.fstat(log._file).st_size > kept:
                os.ftruncate(log._file, kept)
                os.fsync(log._file)
        except BaseException:
            log.close()
            raise
        return log

    @property
    def revision(self) -> int:
        """Number of events."""
        return len(self.events)

    def append(self, *events: Event, tab: str = "") -> int:
        """Keeps events; when this returns they are on the disk. The new revision. WorkError where the disk refuses."""
        lines, last = [], self._last
        for n, event in enumerate(events, self.revision):
            body = json.dumps({"n": n, "time": round(time.time(), 3), "tab": tab, "event": event.to_json()})
            last = _chained(last, body)
            lines.append(f'{body[:-1]}, "sha": "{last}"}}\n')
        data = "".join(lines).encode()
        before = os.fstat(self._file).st_size
        try:
            written = os.write(self._file, data)
            if written != len(data):
                raise OSError(28, "no space left")
            os.fdatasync(self._file)
        except OSError as error:
            os.ftruncate(self._file, before)
            raise WorkError(f"{self.path}: cannot be written ({error.strerror}); this stroke is not kept") from None
        self.events.extend(events)
        self._last = last
        return self.revision

    def close(self) -> None:
        for descriptor in (self._file, self._lock):
            if descriptor >= 0:
                os.close(descriptor)
        self._file = self._lock = -1

    def _read(self) -> int:
        """Takes in the whole lines; the number of bytes that they have."""
        if not self.path.exists():
            return 0
        data = self.path.read_bytes()
        if data[: len(BEGIN)] not in (BEGIN, BEGIN[: len(data)], bytes(len(data[: len(BEGIN)]))):
            raise InputError(f"{self.path}: exists already and is not the factory's; move it")
        kept, lines = 0, data.split(b"\n")
        torn = lines.pop()
        for number, line in enumerate(lines, 1):
            try:
                if len(line) > MAX_LINE:
                    raise ValueError("too long")
                text = line.decode()
                body, _, sha = text.rpartition(', "sha": "')
                document = json.loads(body + "}")
                if sha.removesuffix('"}') != _chained(self._last, body + "}") or document["n"] != len(self.events):
                    raise ValueError("its hash differs")
                event = Event.from_json(document["event"])
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                if number == len(lines) and not torn:  # a tear may end in any byte
                    torn = line
                    break
                raise InputError(
                    f"{self.path}: line {number} is not as it was written ({error}); put the file back from a copy"
                ) from None
            self.events.append(event)
            self._last = sha.removesuffix('"}')
            kept += len(line) + 1
        if torn:
            self.note = f"{self.path}: its last line was torn and is left out; {len(self.events)} strokes are kept"
        return kept


def _chained(last: str, body: str) -> str:
    return hashlib.sha256(f"{last}\n{body}".encode()).hexdigest()[:16]
