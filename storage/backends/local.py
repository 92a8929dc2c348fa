"""Local folders: temporary file, fsync, rename, fsync of the directory; claims are locks that die with their owner."""

import errno
import json
import os
import secrets
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from labelfactory.errors import InputError, WorkError
from labelfactory.storage.backends.backend import Backend, Claim, ClaimNote, claim_document
from labelfactory.storage.backends.flushing import flush_all, flushes_together

TEMPORARY, CLAIMS = "_tmp", "_claims"
THREADS = 8
MANY, TOGETHER = 64, 256  # files from which on they are flushed together, and how many are open for it
KNOWN = 4096  # directories that are remembered to exist

T = TypeVar("T")


def open_local(uri: str, storage_options: Mapping[str, Any] | None = None) -> "LocalBackend":
    """The backend of a path or ``file://`` URI; a local folder has no options."""
    return LocalBackend(uri.partition("://")[2] if "://" in uri else uri)


@contextmanager
def _explained(path: Path | str) -> Iterator[None]:
    """Turns what the operating system says into one line that says what to do."""
    try:
        yield
    except (FileNotFoundError, FileExistsError):
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise WorkError(f"no space left for {path}: free some, then run the same command again") from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise WorkError(f"no permission for {path}: grant it, then run the same command again") from error
        raise WorkError(
            f"{path}: {error.strerror or error}; when that is mended, run the same command again"
        ) from error


def _try_lock(descriptor: int) -> bool:
    """Takes the file's lock if it is free. The kernel frees it when its holder dies, however it dies."""
    import fcntl  # POSIX only; readers on other systems never come here

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return os.fstat(descriptor).st_nlink > 0  # else someone removed the file between our open and our lock


def _read_note(path: Path) -> ClaimNote | None:
    """What a claim's file tells; None where it has just been removed."""
    import fcntl

    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _note_in(descriptor, held=True)
    else:
        return _note_in(descriptor, held=False)
    finally:
        os.close(descriptor)


def _note_in(descriptor: int, held: bool) -> ClaimNote:
    status = os.fstat(descriptor)
    try:
        return ClaimNote.of(json.loads(os.pread(descriptor, status.st_size, 0)), held)
    except (ValueError, KeyError, TypeError, AttributeError):  # of an earlier version, or just being written
        return ClaimNote("held" if held else "left", since=status.st_mtime)


def _shared(action: Callable[[Sequence[str]], list[T]], paths: Sequence[str]) -> list[T]:
    """Does many files in several threads: a disk serves flushes and looks together that one after the other wait."""
    if len(paths) < THREADS**2:
        return action(paths)
    size = -(-len(paths) // (4 * THREADS))
    with ThreadPoolExecutor(THREADS) as pool:
        parts = pool.map(action, (paths[first : first + size] for first in range(0, len(paths), size)))
        return [one for part in parts for one in part]


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class _LockClaim(Claim):
    def __init__(self, path: Path, descriptor: int, run: str) -> None:
        self._path, self._descriptor, self._run = path, descriptor, run
        self._note("")

    def _note(self, error: str) -> None:
        with _explained(self._path):
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, claim_document(self._run, error), 0)

    def is_mine(self) -> bool:
        return True  # the kernel takes a lock from nobody who lives

    def release(self, error: str = "") -> None:
        with suppress(OSError, WorkError):  # a read-only folder must not hide the error that came before
            if error:
                self._note(error)
            else:
                self._path.unlink()
        os.close(self._descriptor)


class LocalBackend(Backend):
    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.root = Path(folder).absolute()
        self.uri = str(self.root)
        self._known_directories: set[Path] = set()

    def read(self, path: str) -> bytes:
        full = f"{self.uri}/{path}"
        with _explained(full):
            try:
                with open(full, "rb", buffering=0) as file:
                    return file.readall()
            except NotADirectoryError as error:
                raise FileNotFoundError(path) from error

    def read_ranges(self, path: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        with _explained(self.root / path):
            descriptor = os.open(self.root / path, os.O_RDONLY)
            try:
                size = os.fstat(descriptor).st_size
                pieces = []
                for start, stop in ranges:
                    first = max(0, size + start) if start < 0 else start
                    pieces.append(os.pread(descriptor, (size if start < 0 else stop) - first, first))
                return pieces
            finally:
                os.close(descriptor)

    def read_many(self, paths: Sequence[str]) -> list[bytes | None]:
        return _shared(super().read_many, paths)

    def write(self, files: Mapping[str, bytes]) -> None:
        def put(paths: Sequence[str]) -> list[None]:
            for path in paths:
                with self._temporary(self.root / path, files[path]) as temporary:
                    os.replace(temporary, self.root / path)
            return []

        if len(files) >= MANY and flushes_together():
            self._put_together(files)
        else:
            _shared(put, list(files))
        self._sync({(self.root / path).parent for path in files})

    def _put_together(self, files: Mapping[str, bytes]) -> None:
        """Some hundred at a time, flushed by one call: each is open, and so locked, until it has its name."""
        paths = list(files)
        for first in range(0, len(paths), TOGETHER):
            targets = [self.root / path for path in paths[first : first + TOGETHER]]
            with ExitStack() as stack:
                temporaries = [
                    stack.enter_context(self._temporary(target, files[path], flush=False))
                    for path, target in zip(paths[first:], targets, strict=False)
                ]
                with _explained(self.root):
                    flush_all(self.root)
                for temporary, target in zip(temporaries, targets, strict=True):
                    with _explained(target):
                        os.replace(temporary, target)

    def write_new(self, path: str, data: bytes) -> bool:
        with self._temporary(self.root / path, data) as temporary:
            try:
                os.link(temporary, self.root / path)  # fails where the name is taken; appears with all its bytes
            except FileExistsError:
                return False
        self._sync({(self.root / path).parent})
        return True

    @contextmanager
    def _temporary(self, target: Path, data: bytes, flush: bool = True) -> Iterator[Path]:
        """A temporary file with ``data``, flushed or not, locked while its writer lives, gone at the end."""
        with _explained(target):
            self._make_directory(target.parent)
            self._make_directory(self.root / TEMPORARY)
            while True:
                path = self.root / TEMPORARY / f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(6)}"
                descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
                if _try_lock(descriptor):
                    break
                os.close(descriptor)
            try:
                with open(descriptor, "wb", closefd=False) as file:
                    file.write(data)
                    file.flush()
                    if flush:
                        os.fsync(descriptor)
                yield path
            finally:
                path.unlink(missing_ok=True)
                os.close(descriptor)

    def _make_directory(self, path: Path) -> None:
        """Makes a directory that a crash cannot take away again: each new level is flushed in its parent."""
        if path in self._known_directories:
            return
        if not path.is_dir():
            self._make_directory(path.parent)
            path.mkdir(exist_ok=True)
            _sync_directory(path.parent)
        if len(self._known_directories) == KNOWN:  # each shard brings new ones
            self._known_directories.clear()
        self._known_directories.add(path)

    def _sync(self, directories: set[Path]) -> None:
        for directory in directories:
            with _explained(directory):
                _sync_directory(directory)

    def delete(self, paths: Sequence[str]) -> None:
        directories = set()
        for path in paths:
            target = self.root / path
            with _explained(target), suppress(FileNotFoundError):
                target.unlink()
                directories.add(target.parent)
        self._sync(directories)

    def claim(self, name: str, run: str = "") -> Claim | None:
        path = self.root / CLAIMS / f"{name}.lock"
        with _explained(path):
            self._make_directory(path.parent)
            while True:
                descriptor = os.open(path, os.O_CREAT | os.O_WRONLY, 0o666)
                if _try_lock(descriptor):
                    return _LockClaim(path, descriptor, run)
                removed = os.fstat(descriptor).st_nlink == 0
                os.close(descriptor)
                if not removed:
                    return None

    def claims(self, names: Sequence[str]) -> dict[str, ClaimNote]:
        wanted, found = set(names), dict[str, ClaimNote]()
        with suppress(FileNotFoundError), _explained(self.root / CLAIMS):
            for path in sorted((self.root / CLAIMS).iterdir()):
                if path.stem in wanted and (note := _read_note(path)) is not None:
                    found[path.stem] = note
        return found

    def prepare(self) -> None:
        try:
            if self.root.exists() and not self.root.is_dir():
                raise InputError(f"{self.root} is a file: expected a folder to make the store in")
            self.root.mkdir(parents=True, exist_ok=True)
            others = sorted({path.name for path in self.root.iterdir()} - {TEMPORARY, CLAIMS, "zarr.json"})
            if others and not (self.root / "zarr.json").exists():
                raise InputError(
                    f"{self.root} holds something else ({others[0]}): expected a dataset store or a new place"
                )
            if not os.access(self.root, os.W_OK | os.X_OK):
                raise InputError(f"{self.root} cannot be written: choose another place, or grant permission")
        except OSError as error:
            raise InputError(f"{self.root} cannot be made: {error.strerror or error}; choose another place") from error

    def remove_strays(self, done: Sequence[str] = ()) -> None:
        finished = set(done)
        for folder in (TEMPORARY, CLAIMS):
            with suppress(FileNotFoundError), _explained(self.root / folder):
                for path in list((self.root / folder).iterdir()):
                    self._remove_if_dead(path, failures=folder == CLAIMS and path.stem not in finished)

    @staticmethod
    def _remove_if_dead(path: Path, failures: bool) -> None:
        """``failures``: claims that note one stay."""
        with suppress(FileNotFoundError):
            descriptor = os.open(path, os.O_RDWR)
            try:
                if _try_lock(descriptor) and not (failures and _note_in(descriptor, held=False).error):
                    path.unlink()
            finally:
                os.close(descriptor)
