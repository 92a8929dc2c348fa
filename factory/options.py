"""Options of whatever is chosen by name, such as an architecture: parameters of its class's ``__init__``."""

import inspect
from collections.abc import Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from labelfactory.errors import InputError
from labelfactory.factory.parameter import Entry, Parameter


def options_of(kind: type, own: Mapping[str, Any] | None = None) -> dict[str, Entry]:
    """Those parameters of a class that are ``Annotated`` with a ``Parameter``; ``own`` are other defaults."""
    hints = get_type_hints(kind.__init__, include_extras=True)  # type: ignore[misc]
    defaults = {k: p.default for k, p in inspect.signature(kind).parameters.items()} | dict(own or {})
    return {
        option: Entry(hint.__origin__, defaults[option], hint.__metadata__[0])
        for option, hint in hints.items()
        if get_origin(hint) is Annotated and isinstance(hint.__metadata__[0], Parameter)
    }


def checked(name: str, known: Mapping[str, Entry], given: Mapping[str, Any]) -> dict[str, Any]:
    """The options in their types; InputError for one that ``name`` does not have, or a value that cannot be."""
    if unknown := given.keys() - known.keys():
        raise InputError(
            f"{name} does not take these options: {', '.join(sorted(unknown))}; it takes {', '.join(known)}"
        )
    found = {}
    for option, value in given.items():
        about, where = known[option], f"{name}: option {option}"
        found[option] = _typed(value, about.kind, where)
        about.about.check(where, found[option])
    return found


def _typed(value: Any, kind: Any, where: str) -> Any:
    """Whole numbers count as numbers and texts as paths; everything else has to be of its type."""
    kinds = [get_origin(k) or k for k in get_args(kind)] if isinstance(kind, UnionType) else [get_origin(kind) or kind]
    if float in kinds and type(value) is int:
        return float(value)
    if Path in kinds and isinstance(value, str):
        return Path(value)
    if any(type(value) is k or (k in (Path, dict) and isinstance(value, k)) for k in kinds):
        return value
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "a word", dict: "a JSON object"}
    expected = " or ".join(words.get(k, "a path") for k in kinds if k is not NoneType)
    raise InputError(f"{where} is {value!r}: expected {expected}")
