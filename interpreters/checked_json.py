"""Reading JSON that people and tools wrote: every field is checked where it enters, each complaint names its place."""

import json
import math
from pathlib import Path
from typing import Any

from labelfactory.errors import InputError

_NAMES: dict[Any, str] = {
    dict: "an object",
    list: "a list",
    str: "a text",
    int: "an integer",
    float: "a number",
    bool: "true or false",
}
_MISSING = object()


def read_json(path: Path, expected: type = dict) -> Any:
    """The parsed file, whose top level is of type ``expected`` (``object``: any). InputError where it is not."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: is not UTF-8 text; expected a JSON file") from None
    try:
        data = json.loads(text)
    except ValueError as error:  # JSONDecodeError, and Python's refusal of huge integers
        raise InputError(f"{path}: is not valid JSON ({error})") from None
    except RecursionError:
        raise InputError(f"{path}: is not usable JSON (nested too deeply)") from None
    return top_level(data, expected, path)


def top_level(data: Any, expected: type, path: Path) -> Any:
    """``data``, what the file at ``path`` holds, where it is of type ``expected``; InputError where it is not."""
    if not _is(data, expected):
        raise InputError(f"{path}: expected {_NAMES[expected]} at the top level, found {_short(data)}")
    return data


def field(mapping: Any, key: str, expected: type, where: str, default: Any = _MISSING) -> Any:
    """``mapping[key]``, of type ``expected`` (a number where ``float``: integers too, finite only).

    ``default`` stands in where the key is absent or null; without one that is an InputError, which ``where`` begins.
    """
    if not isinstance(mapping, dict):
        raise InputError(f"{where}: expected an object, found {_short(mapping)}")
    value = mapping.get(key)
    if value is None:
        if default is _MISSING:
            raise InputError(f'{where}: "{key}" is missing; expected {_NAMES[expected]}')
        return default
    return checked(value, expected, f'{where}: "{key}"')


def checked(value: Any, expected: type, where: str) -> Any:
    """``value`` where it is of type ``expected``, else an InputError that ``where`` begins."""
    if not _is(value, expected):
        raise InputError(f"{where}: expected {_NAMES[expected]}, found {_short(value)}")
    return float(value) if expected is float else value


def _is(value: Any, expected: type) -> bool:
    if expected is float:
        return (
            isinstance(value, int | float)
            and not isinstance(value, bool)
            and abs(value) < 1e300
            and math.isfinite(value)
        )
    if expected is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, expected)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
