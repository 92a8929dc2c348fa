"""Lists of pairs to leave out: which sources they are for, and the names that they hold."""

from collections.abc import Sequence
from pathlib import Path

from labelfactory.errors import InputError
from labelfactory.storage.exclusion import read_list


def read_names(path: Path) -> list[str]:
    """Names of the pairs of a folder or zip that a list says to leave out."""
    return [str(suspect["name"]) for suspect in read_list(path, "name")[0]]


def source_of(path: Path, sources: Sequence[str]) -> str:
    """Which of the sources a list is for; InputError where it is for none of them."""
    of = read_list(path)[1].get("pairs")
    if not isinstance(of, str):
        raise InputError(f"{path}: names no pairs; expected suspects.json of `factory audit`")
    for source in sources:
        if source == of or ("://" not in source + of and Path(source).resolve() == Path(of).resolve()):
            return source
    raise InputError(f"{path}: is a list for {of}; the pairs are {', '.join(sources)}")
