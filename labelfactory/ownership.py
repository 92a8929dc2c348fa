"""Which files the factory wrote, so that it never replaces one of somebody else's.

A folder into which results are written has a hidden list, ``.labelfactory-wrote.json``, of the names that the factory
wrote there (or was about to). A file that exists and is not listed is somebody's, unless it says itself that it is the
factory's, as its model files do.
"""

import json
from collections.abc import Iterable
from pathlib import Path

from labelfactory.errors import InputError
from labelfactory.whole_files import whole_file

LIST = ".labelfactory-wrote.json"


def claim(folder: Path, names: Iterable[str], *, written: bool = False) -> None:
    """List ``names`` (of files in ``folder``, ``a/b`` for one in a folder below) as the factory's, before they are
    written, or after where they were looked for before.

    Raises:
        InputError: one of them exists and is not the factory's; or the folder cannot be written to.
    """
    wanted = sorted(set(names))
    listed = _listed(folder)
    for name in wanted:
        if name not in listed and not written:
            refuse(folder / name)
    if set(wanted) <= listed:
        return
    folder.mkdir(parents=True, exist_ok=True)
    with whole_file(folder / LIST) as file:
        file.write((json.dumps({"files": sorted({*wanted, *listed})}, indent=0) + "\n").encode())


def refuse(path: Path) -> None:
    """InputError where somebody's file is at ``path``."""
    if (path.exists() or path.is_symlink()) and not owned(path):
        raise InputError(f"{path}: exists already and is not the factory's; move it, or choose another place")


def claimed(folder: Path, name: str) -> Path:
    """A file called ``name``, or ``NAME-2.EXT`` and so on where that is somebody's; it is listed as the factory's."""
    path = Path(name)
    for number in range(1, 1000):
        chosen = name if number == 1 else f"{path.stem}-{number}{path.suffix}"
        target = folder / chosen
        if not (target.exists() or target.is_symlink()) or owned(target):
            claim(folder, [chosen])
            return target
    raise InputError(f"{folder / name}: exists already and is not the factory's; move it, or choose another place")


def owned(path: Path) -> bool:
    """Whether the factory wrote this file, as its folder's list or the file itself says."""
    return path.name in _listed(path.parent) or says_so(path)


def says_so(path: Path) -> bool:
    """Whether a file says itself that the factory wrote it: generators, interpreters, regressors and segmenters do."""
    try:
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length)) if 2 <= length < 1 << 24 else {}
        keys = header.get("__metadata__", {}) if isinstance(header, dict) else {}
        return any(str(key).startswith("labelfactory") for key in keys)
    except (OSError, ValueError, RecursionError):
        return False


def _listed(folder: Path) -> set[str]:
    try:
        data = json.loads((folder / LIST).read_bytes())
        files = data["files"]
        return {name for name in files if isinstance(name, str)}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return set()
