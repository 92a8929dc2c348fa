"""Folders that appear whole or not at all."""

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from labelfactory.errors import InputError


@contextmanager
def new_folder(target: str | os.PathLike[str], *, replaces: str | None = None) -> Iterator[Path]:
    """An empty folder beside ``target`` to write into; it takes ``target``'s place when the block ends well.

    ``replaces``: an existing ``target`` is replaced if it is empty or has a file of this name; None: never replaced.
    InputError where ``target`` exists and must not be replaced.
    """
    root = Path(target).absolute()
    if root.exists():
        if replaces is None:
            raise InputError(f"{target}: exists already; name a new folder or allow overwriting")
        if not root.is_dir() or (any(root.iterdir()) and not (root / replaces).is_file()):
            raise InputError(f"{target}: exists and has no {replaces}, so it is something else; name a new folder")
    root.parent.mkdir(parents=True, exist_ok=True)
    token = uuid.uuid4().hex[:8]
    fresh, stale = root.with_name(f".{root.name}.{token}.new"), root.with_name(f".{root.name}.{token}.old")
    try:
        fresh.mkdir()
        yield fresh
        if root.exists():
            root.rename(stale)
        fresh.rename(root)
    finally:
        if stale.exists() and not root.exists():
            stale.rename(root)
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.rmtree(stale, ignore_errors=True)
