"""Files and folders that appear whole or not at all: a kill at any moment leaves the old one or the new one.

Links are followed: what they lead to is written. A path that cannot be written to (no such folder, no permission) is
the caller's error, a disk that fails is not.
"""

import errno
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from labelfactory.errors import InputError, WorkError

Target = str | os.PathLike[str]


@contextmanager
def whole_file(target: Target, *, durable: bool = True) -> Iterator[BinaryIO]:
    """A file beside ``target`` to write into; it takes ``target``'s place when the block ends well.

    durable: wait until the disk has the bytes. False is for many small files whose reader checks them.
    Raises InputError or WorkError where it cannot be written; the old file is then still there.
    """
    if Path(target).exists() and not Path(target).is_file() and not Path(target).is_dir():
        with open(target, "wb") as file:  # a pipe or terminal, such as /dev/stdout
            yield file
        return
    with whole_path(target, durable=False) as temporary, open(temporary, "wb") as file:
        yield file
        file.flush()
        if durable:
            os.fsync(file.fileno())


@contextmanager
def whole_path(target: Target, *, durable: bool = True) -> Iterator[Path]:
    """Like ``whole_file``, for writers that want a name: the block makes a file of the name that it is given."""
    path = Path(os.path.realpath(target))
    if not path.parent.is_dir():
        raise InputError(f"{target}: cannot be written: its folder does not exist")
    temporary = _beside(path, "part")
    try:
        with _explained(target, path, temporary):
            yield temporary
            if durable:
                with open(temporary, "rb") as file:
                    os.fsync(file.fileno())
            put_in_place(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def whole_folder(target: Target) -> Iterator[Path]:
    """An empty folder to write into; what is in it appears at ``target`` when the block ends well.

    ``target`` must not exist or be an empty folder (a mounted one, say). Raises InputError where it is anything else,
    InputError or WorkError where it cannot be written; nothing is left behind then.
    """
    root = Path(os.path.realpath(target))
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise InputError(f"{target}: exists already; name a new folder or allow overwriting")
    inside = root.exists()
    fresh = _beside(root / "x" if inside else root, "new")
    try:
        with _explained(target, root, fresh):
            fresh.mkdir(parents=True)
            yield fresh
            if inside:
                for path in sorted(fresh.iterdir()):
                    path.rename(root / path.name)
            else:
                fresh.rename(root)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def put_in_place(temporary: Path, target: Path) -> None:
    """Rename, over a file that is there; one that is itself a mount cannot be replaced, but written to."""
    try:
        os.replace(temporary, target)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        shutil.copyfile(temporary, target)
        temporary.unlink()


def _beside(path: Path, kind: str) -> Path:
    """A hidden name of its own in the same folder, short enough where ``path``'s is as long as names may be."""
    return path.with_name(f".{path.name[:40]}.{uuid.uuid4().hex[:8]}.{kind}")


@contextmanager
def _explained(target: Target, path: Path, temporary: Path) -> Iterator[None]:
    """What the disk says of ``path``, as one line; what it says of other files is passed on."""
    try:
        yield
    except OSError as error:
        if isinstance(error.filename, str | os.PathLike):
            named = Path(error.filename)
            if named not in (path, *path.parents) and not named.is_relative_to(temporary):
                raise
        reason = error.strerror or error
        if isinstance(error, FileNotFoundError | NotADirectoryError | PermissionError | IsADirectoryError):
            raise InputError(f"{target}: cannot be written ({reason}); choose another place") from None
        raise WorkError(f"{target}: cannot be written ({reason}); nothing is left behind") from None
