"""What a camera, its lens and its files do to a picture, as numbers: a row for each real picture that was measured."""

import json
import math
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from labelfactory.errors import InputError
from labelfactory.interpreters.checked_json import checked, field, read_json
from labelfactory.whole_files import whole_file

FORMAT, VERSION = "labelfactory.sensor", 1


@dataclass(frozen=True)
class Row:
    """What one real picture has beyond what generated pictures have. The defaults are a camera that does nothing.

    In the order in which a picture meets them:

    blur        standard deviation in pixels
    contrast    factor of the differences from the picture's mean
    brightness  added to the picture's mean, in units of the full range
    cast        factor of each channel (empty: none)
    grain       standard deviation, independent from pixel to pixel and channel to channel, in units of the full range
    quality     of JPEG, 1 to 100; 0: not compressed
    """

    blur: float = 0.0
    contrast: float = 1.0
    brightness: float = 0.0
    cast: tuple[float, ...] = ()
    grain: float = 0.0
    quality: int = 0

    def __post_init__(self) -> None:
        sound = {
            "blur": 0 <= self.blur <= 100,
            "contrast": 0 < self.contrast <= 100,
            "brightness": -1 <= self.brightness <= 1,
            "cast": all(0 < factor <= 100 for factor in self.cast),
            "grain": 0 <= self.grain <= 1,
            "quality": 0 <= self.quality <= 100,
        }
        for name, fits in sound.items():
            if not fits:
                raise InputError(f"{name} is {getattr(self, name)}, which no sensor has")


@dataclass(frozen=True)
class Sensor:
    """Rows to draw from, all equally likely: what goes together in a picture stays together."""

    rows: tuple[Row, ...]

    def __post_init__(self) -> None:
        if not self.rows:
            raise InputError("a sensor needs at least one picture's row")

    def save(self, path: Path, about: dict[str, Any]) -> None:
        """Writes the file; ``about`` says what was measured."""
        rows = {f.name: [getattr(row, f.name) for row in self.rows] for f in fields(Row)}
        document = {"format": FORMAT, "version": VERSION, "about": about, "rows": rows}
        with whole_file(path) as file:
            file.write((json.dumps(document, indent=1) + "\n").encode())

    @classmethod
    def load(cls, path: Path) -> "Sensor":
        """InputError for a file that ``factory measure-sensor`` did not write."""
        where, document = str(path), read_json(path)
        if (document.get("format"), document.get("version")) != (FORMAT, VERSION):
            raise InputError(f"{path}: expected a file that `factory measure-sensor` wrote, of version {VERSION}")
        columns = field(document, "rows", dict, where)
        lists = {name: field(columns, name, list, where) for name in asdict(Row())}
        if len({len(values) for values in lists.values()}) > 1:
            raise InputError(f"{path}: its columns have different lengths")
        for name in ("blur", "contrast", "brightness", "grain"):
            lists[name] = [checked(value, float, f"{where}: {name}") for value in lists[name]]
        lists["quality"] = [checked(value, int, f"{where}: quality") for value in lists["quality"]]
        lists["cast"] = [
            tuple(checked(factor, float, f"{where}: cast") for factor in checked(value, list, f"{where}: cast"))
            for value in lists["cast"]
        ]
        try:
            return cls(
                tuple(Row(**dict(zip(lists, values, strict=True))) for values in zip(*lists.values(), strict=True))
            )
        except InputError as error:
            raise InputError(f"{path}: {error}") from None

    def lines(self) -> list[str]:
        """What was measured, for a person: the middle, and what one picture in ten has less or more of."""
        told = [
            _told("grain", [100 * row.grain for row in self.rows], "% of the range"),
            _told("blur", [row.blur for row in self.rows], "px"),
            _told("contrast", [row.contrast for row in self.rows], "times"),
            _told("brightness", [100 * row.brightness for row in self.rows], "% of the range"),
        ]
        for channel in range(max(len(row.cast) for row in self.rows)):
            told.append(
                _told(
                    f"channel {channel}", [row.cast[channel] for row in self.rows if channel < len(row.cast)], "times"
                )
            )
        packed = [row.quality for row in self.rows if row.quality]
        share = f"{len(packed) / len(self.rows):.0%} of the pictures"
        return [*told, f"JPEG: {share}, quality {min(packed)} to {max(packed)}" if packed else "JPEG: none"]


def _told(name: str, values: list[float], unit: str) -> str:
    ordered = sorted(values)
    low, middle, high = (ordered[math.floor(share * (len(ordered) - 1))] for share in (0.1, 0.5, 0.9))
    return f"{name}: {middle:.2f} {unit} ({low:.2f} to {high:.2f})"
