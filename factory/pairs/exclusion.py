"""Lists of pairs to leave out: which sources they are for, and the names that they hold."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from labelfactory.errors import InputError


def _read(path: Path) -> dict[str, Any]:
    try:
        listed: dict[str, Any] = json.loads(path.read_bytes())
        if not isinstance(listed["pairs"], str) or not isinstance(listed["suspects"], list):
            raise TypeError
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(f"{path}: is no list of suspects; expected suspects.json of `factory audit`") from None
    return listed


def read_names(path: Path) -> list[str]:
    """Names of the pairs of a folder or zip that a list says to leave out."""
    try:
        return [str(suspect["name"]) for suspect in _read(path)["suspects"]]
    except (KeyError, TypeError):
        raise InputError(f"{path}: names no pairs; expected suspects.json of `factory audit`") from None


def source_of(path: Path, sources: Sequence[str]) -> str:
    """Which of the sources a list is for; InputError where it is for none of them."""
    of = _read(path)["pairs"]
    for source in sources:
        if source == of or ("://" not in source + of and Path(source).resolve() == Path(of).resolve()):
            return source
    raise InputError(f"{path}: is a list for {of}; the pairs are {', '.join(sources)}")
