"""Folders whose files are changed together or not at all, without touching what others put into them."""

import json
import logging
import os
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from labelfactory.errors import InputError, WorkError
from labelfactory.interpreters.checked_json import checked, field, read_json
from labelfactory.whole_files import put_in_place

JOURNAL = ".unfinished-update.json"


class Update:
    """Files to be written into a folder and removed from it, all in one step. ``updated_folder`` makes one."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.token = uuid.uuid4().hex[:8]
        self.writes: list[str] = []
        self.removes: list[str] = []

    def write(self, path: str, content: bytes) -> None:
        """Have ``content`` at ``path`` (relative, with ``/``) afterwards; written beside it for now."""
        target = self.root / path
        if target.is_file() and target.read_bytes() == content:
            return
        target.parent.mkdir(exist_ok=True)
        self.writes.append(path)
        with open(_beside(target, self.token), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())

    def remove(self, paths: Iterable[str]) -> None:
        """Have no files at these paths afterwards."""
        self.removes += sorted(paths)


@contextmanager
def updated_folder(root: Path) -> Iterator[Update]:
    """Change files of a folder so that at any moment, killed or not, all are as before or all are as wanted.

    New contents are written beside their places first. A journal then says what is to happen: from there on the update
    is finished by whoever opens the folder next (``finish_update``), before that it has never been.
    Links and mounted folders are written through. No file that is not named is touched.

    Raises:
        WorkError: the disk refuses; the line says whether the folder is as before.
    """
    finish_update(root)
    update = Update(root)
    try:
        yield update
        plan = {"token": update.token, "writes": update.writes, "removes": update.removes}
        temporary = root / f"{JOURNAL}.{update.token}"
        with open(temporary, "w", encoding="utf-8") as file:
            json.dump(plan, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, root / JOURNAL)
    except BaseException as error:
        for path in update.writes:
            _beside(root / path, update.token).unlink(missing_ok=True)
        (root / f"{JOURNAL}.{update.token}").unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise WorkError(f"{root}: cannot be written ({error.strerror or error}); it is as it was") from None
        raise
    _carry_out(root)


def finish_update(root: Path) -> None:
    """Finish an update of this folder that was interrupted while its files were put into place, and say so."""
    if (root / JOURNAL).is_file():
        _carry_out(root)
        logging.getLogger(__name__).warning("%s: an interrupted update was finished; the folder is as wanted", root)


def _carry_out(root: Path) -> None:
    journal = root / JOURNAL
    plan = read_json(journal)
    token = field(plan, "token", str, str(journal))
    if not token.isalnum():
        raise InputError(f"{journal}: token {token!r} is none of ours; remove the file if the folder is well")
    try:
        for path in _paths(plan, "writes", journal):
            if (temporary := _beside(root / path, token)).is_file():
                put_in_place(temporary, Path(os.path.realpath(root / path)))
        for path in _paths(plan, "removes", journal):
            (root / path).unlink(missing_ok=True)
        journal.unlink()
    except OSError as error:
        raise WorkError(
            f"{root}: is half updated ({error.strerror or error}); the same command, or any that opens it, finishes it"
        ) from None


def _paths(plan: Any, key: str, journal: Path) -> list[str]:
    where = f'{journal}: "{key}"'
    paths: list[str] = [checked(p, str, where) for p in field(plan, key, list, str(journal))]
    for path in paths:
        if path.count("/") > 1 or ".." in path.split("/") or set(path) & set("\\:") or path.startswith("/"):
            raise InputError(f"{where}: {path!r} is no file of this folder")
    return paths


def _beside(target: Path, token: str) -> Path:
    """Where the new content of ``target`` lies until it takes its place: beside the file that a link leads to."""
    real = Path(os.path.realpath(target))
    return real.with_name(f".{real.name}.{token}")
