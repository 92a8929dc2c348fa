"""Channels of continuous labels: what each number per pixel is called, its unit and its range."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from labelfactory.errors import InputError
from labelfactory.interpreters.checked_json import checked, field
from labelfactory.limits import HALF_MAX

MAX_CHANNELS = 16


@dataclass(frozen=True)
class ValueChannel:
    """One number per pixel: a name, a unit ("" for none) and the range from ``low`` to ``high`` that it stays in."""

    name: str
    unit: str
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.name} ({self.low:g} to {self.high:g}{' ' * bool(self.unit)}{self.unit})"

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "unit": self.unit, "range": [self.low, self.high]}


def parse_channel(data: Any, where: str) -> ValueChannel:
    """One channel from its JSON object: ``{"name": ..., "unit": "m", "range": [0, 80]}``."""
    numbers = [checked(v, float, f'{where}: "range"') for v in field(data, "range", list, where)]
    if len(numbers) != 2:
        raise InputError(f'{where}: "range" has {len(numbers)} numbers; expected the lowest and the highest value')
    return ValueChannel(field(data, "name", str, where), field(data, "unit", str, where, ""), numbers[0], numbers[1])


def check_channels(channels: Sequence[ValueChannel], where: str) -> None:
    """InputError unless names differ and can name files, and each range is one that float16 can hold."""
    if len(channels) > MAX_CHANNELS:
        raise InputError(f"{where}: {len(channels)} value channels; expected at most {MAX_CHANNELS}")
    names = [c.name.casefold() for c in channels]
    for c in channels:
        if not c.name.strip(" .") or not c.name.isprintable() or set(c.name) & set('/\\:*?"<>|'):
            raise InputError(f"{where}: value channel {c.name!r}: expected a name that a file can have")
        if names.count(c.name.casefold()) > 1:
            raise InputError(f"{where}: value channel {c.name!r} is listed twice; names have to differ")
        if not c.unit.isprintable():
            raise InputError(f"{where}: the unit of {c.name} has unprintable characters")
        if not (math.isfinite(c.low) and math.isfinite(c.high) and c.low < c.high):
            raise InputError(f"{where}: {c.name} reaches from {c.low:g} to {c.high:g}; expected the lower number first")
        if max(-c.low, c.high) > HALF_MAX:
            raise InputError(
                f"{where}: {c.name} reaches from {c.low:g} to {c.high:g}; stores hold 16-bit floats, up to "
                f"{HALF_MAX:g}: choose a larger unit"
            )
