"""From what a person gave, by the names of ``parameters``, to an order: converted, checked, its outputs tried."""

import ast
import os
import tempfile
from collections.abc import Mapping
from dataclasses import MISSING, fields, replace
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

from labelfactory.errors import InputError
from labelfactory.factory.parameter import Entry, Part, Wishes, parameters, values_of
from labelfactory.ownership import claim, refuse, says_so

Kind = TypeVar("Kind")


def take_order(order: type[Kind], given: Mapping[str, Any]) -> Kind:
    """The order of plain values: texts, numbers, lists. What is not given has its default.

    InputError for a value that cannot be, and for a place where what is asked for could not be written.
    """
    known = parameters(order)
    values = {name: converted(name, value, known[name]) for name, value in given.items()}
    # None where a value has to be is an empty list, as the command line says it
    taken = _built(order, {k: v for k, v in values.items() if v is not None or known[k].default is None})
    for name, value in values_of(taken).items():
        if known[name].about.writes and value is not None:
            try_output(name, str(value), known[name].about.writes)
    return taken


def list_outputs(order: Any) -> None:
    """List the files that the work wrote as the factory's, so that the same command may replace them."""
    for name, value in values_of(order).items():
        if parameters(type(order))[name].about.writes == "file" and value is not None and "://" not in str(value):
            path = Path(value)
            if path.is_file() and not says_so(path):
                claim(path.parent, [path.name], written=True)


def _built(order: type[Kind], values: Mapping[str, Any], default: Any = None) -> Kind:
    """The order of converted values; others are the default's, or else the fields' own."""
    own: dict[str, Any] = {}
    parts: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        part = parameters(order)[name].part
        (parts.setdefault(part, {}) if part else own)[name] = value
    hints = get_type_hints(order, include_extras=True)
    for entry in fields(order):  # type: ignore[arg-type]
        hint = hints[entry.name]
        marks = hint.__metadata__[0] if get_origin(hint) is Annotated else None
        some = parts.get(entry.name, {} if isinstance(marks, Part) else None)
        if some is None:
            continue
        if isinstance(marks, Wishes):
            own[entry.name] = {name: value for name, value in some.items() if value is not None}
        else:
            kind, fixed = (hint.__origin__, marks.fixed) if isinstance(marks, Part) else (hint, {})
            whole = entry.default_factory() if entry.default_factory is not MISSING else None
            own[entry.name] = _built(kind, {**some, **fixed}, whole)
    return order(**own) if default is None else replace(default, **own)


def converted(name: str, value: Any, entry: Entry) -> Any:
    """A value as the order has it: paths with the home folder in place of ``~``, tuples, mappings of NAME=VALUE."""
    if value is None:
        return None
    kinds = (entry.kind, *get_args(entry.kind))
    if any(get_origin(kind) is dict for kind in kinds):
        return _mapping(name, value, entry)
    if any(get_origin(kind) is tuple for kind in kinds):
        return tuple(_single(name, one, entry) for one in value)
    return _single(name, value, entry)


def _single(name: str, value: Any, entry: Entry) -> Any:
    if not entry.about.place:
        return value
    text = str(value)
    if not text:
        raise InputError(f"{name} is empty: expected a path or URL")
    if text.startswith("~"):
        text = os.path.expanduser(text)
    if Path not in (entry.kind, *get_args(entry.kind), *(a for k in get_args(entry.kind) for a in get_args(k))):
        return text
    text = text.removeprefix("file://")
    if "://" in text:
        raise InputError(f"{name} is {text}: expected a path on this machine; copy it from or to there")
    return Path(text)


def _mapping(name: str, value: Any, entry: Entry) -> dict[str, Any]:
    """A mapping as it is, or from texts NAME=VALUE."""
    texts = get_args(next(kind for kind in (entry.kind, *get_args(entry.kind)) if get_origin(kind) is dict))[1] is str
    found: dict[str, Any] = dict(value) if isinstance(value, Mapping) else {}
    for text in () if isinstance(value, Mapping) else value:
        key, equals, said = text.rpartition("=") if texts else text.partition("=")
        if not equals or not key:
            raise InputError(f"{name} {text!r}: expected {entry.about.form or 'NAME=VALUE'}")
        found[key] = said if texts else _literal(said)
    for key in entry.about.place_keys:
        if isinstance(found.get(key), str):
            found[key] = Path(os.path.expanduser(found[key]))
    return found


def _literal(text: str) -> Any:
    """A number, a list, True or None as Python writes them; anything else is a text."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def try_output(name: str, place: str, kind: str) -> None:
    """InputError where a ``kind`` (see ``Parameter.writes``) cannot be written at a path; URLs are not tried.

    A file is made and removed in the nearest folder that exists, so that a disk that is full or cannot be written says
    so before the work and not after it.
    """
    if "://" in place:
        return
    path = Path(place).absolute()
    if kind == "missing file" and path.is_file():
        return
    kind = kind.removeprefix("missing ")
    if kind == "file":
        if path.is_dir():
            raise InputError(f"{name} is {place}: that is a folder; name a file")
        if not path.parent.is_dir():
            raise InputError(f"{place}: its folder does not exist; make it first")
        refuse(path)
    elif kind == "new folder" and os.path.lexists(path):
        raise InputError(f"{place}: exists already; name a new folder")
    above = path if path.exists() and kind != "file" else path.parent
    while not above.exists() and above != above.parent:
        above = above.parent
    if not above.is_dir():
        raise InputError(f"{place}: cannot be written, since {above} is a file; choose another place")
    try:
        with tempfile.TemporaryFile(dir=above) as trial:
            trial.write(bytes(4096))
            trial.flush()
    except OSError as error:
        raise InputError(f"{place}: cannot be written ({error.strerror}); choose another place") from None
