"""Object stores and servers through fsspec: whole-object puts, no listing, no rename, bounded retries."""

import json
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

import fsspec

from labelfactory.errors import InputError, WorkError
from labelfactory.storage.backends.backend import Backend, Claim, ClaimNote, claim_document

ATTEMPTS = 6
FIRST_PAUSE_S = 0.1
LEASE_S = 60.0
PARALLEL_REQUESTS = 4

T = TypeVar("T")


class RemoteBackend(Backend):
    """One client of one bucket or server. It may be pickled; after a fork it must be opened anew."""

    def __init__(self, uri: str, storage_options: dict[str, Any] | None = None) -> None:
        self._process = os.getpid()
        self.uri, self._options = uri.rstrip("/"), dict(storage_options or {})
        try:
            self.fs, self.root = fsspec.core.url_to_fs(self.uri, **self._options)
        except (ImportError, ValueError) as error:
            raise InputError(f"{uri} cannot be opened: {error}") from error

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.uri, self._options)

    def _same_process(self) -> None:
        """A forked child has the parent's client but not the thread that drives it: it would wait for ever."""
        if os.getpid() != self._process and getattr(self.fs, "async_impl", False):
            raise InputError(
                f"{self.uri} was opened before this process was forked, which its client does not survive: "
                'start workers with multiprocessing_context="spawn" or "forkserver"'
            )

    def _path(self, path: str) -> str:
        return f"{self.root}/{path}"

    def _retry(self, path: str, action: Callable[[], T]) -> T:
        """Repeats what a busy or broken server refused; gives up with one line."""
        self._same_process()
        pause = FIRST_PAUSE_S
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return action()
            except (FileNotFoundError, FileExistsError):
                raise
            except PermissionError as error:
                raise WorkError(f"no permission for {self.uri}/{path} ({error}): grant it, then run again") from error
            except NotImplementedError as error:
                raise InputError(f"{self.uri} cannot be written: {error or 'its protocol only reads'}") from error
            except Exception as error:  # every client library raises failures of its own kinds
                if attempt == ATTEMPTS:
                    text = str(error).splitlines()[0] if str(error) else type(error).__name__
                    raise WorkError(
                        f"{self.uri}/{path} failed {ATTEMPTS} times ({text}): run the command again when it answers"
                    ) from error
                time.sleep(pause)
                pause *= 2
        raise AssertionError  # the loop returns or raises

    def read(self, path: str) -> bytes:
        return bytes(self._retry(path, lambda: self._whole(path)))

    def _whole(self, path: str) -> bytes:
        try:
            # From 0, not without a start: s3fs would first ask for the size, and for a listing where nothing is found.
            return bytes(self.fs.cat_file(self._path(path), start=0, end=None))
        except Exception as error:
            if _is_empty(error):
                return b""
            raise

    def read_ranges(self, path: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        full = self._path(path)

        def action() -> list[bytes]:
            starts, ends = [start for start, _ in ranges], [None if start < 0 else stop for start, stop in ranges]
            if len(ranges) == 1:
                return [self.fs.cat_file(full, start=starts[0], end=ends[0])]
            return list(self.fs.cat_ranges([full] * len(ranges), starts, ends, on_error="raise"))

        pieces = self._retry(path, action)
        for (start, stop), piece in zip(ranges, pieces, strict=True):
            # A server that ignores ranges sends the whole file, in which other samples lie at these places.
            if len(piece) > stop - start:
                raise WorkError(
                    f"{self.uri} ignores byte ranges: open it with cache=FOLDER, which reads whole shards, or use a "
                    "server that answers range requests"
                )
        return pieces

    def read_many(self, paths: Sequence[str]) -> list[bytes | None]:
        self._same_process()
        if not paths:
            return []
        starts, ends = [0] * len(paths), [None] * len(paths)
        found = self.fs.cat_ranges([self._path(path) for path in paths], starts, ends, on_error="return")
        return [self._settled(path, value) for path, value in zip(paths, found, strict=True)]

    def _settled(self, path: str, value: bytes | Exception) -> bytes | None:
        """One answer of a bulk read; one that met an error is read once more, alone and with retries."""
        if isinstance(value, bytes):
            return value
        try:
            return None if isinstance(value, FileNotFoundError) else self.read(path)
        except FileNotFoundError:
            return None

    def write(self, files: Mapping[str, bytes]) -> None:
        self._in_parallel(self.write_one, files, files.values())

    def _in_parallel(self, action: Callable[..., None], *arguments: Iterable[Any]) -> None:
        self._same_process()
        with ThreadPoolExecutor(PARALLEL_REQUESTS) as pool:
            for _ in pool.map(action, *arguments):
                continue

    def write_one(self, path: str, data: bytes) -> None:
        """One put, in the calling thread."""
        self._retry(path, lambda: self.fs.pipe_file(self._path(path), data))

    def write_new(self, path: str, data: bytes) -> bool:
        def create() -> None:
            try:
                self.fs.pipe_file(self._path(path), data, mode="create")
            except OSError as error:  # some S3 servers say it without naming the condition
                if "precondition" in str(error).lower():
                    raise FileExistsError(path) from error
                raise

        try:
            self._retry(path, create)
        except FileExistsError:
            # A put whose answer was lost is repeated and then meets itself: the same bytes are ours. A claim may also
            # have been released since.
            return self.read_many([path])[0] == data
        return True

    def delete(self, paths: Sequence[str]) -> None:
        self._in_parallel(self._delete, paths)

    def _delete(self, path: str) -> None:
        with suppress(FileNotFoundError):
            self._retry(path, lambda: self.fs.rm_file(self._path(path)))

    def claim(self, name: str, run: str = "") -> Claim | None:
        return _Lease.take(self, f"_claims/{name}.json", run)

    def claims(self, names: Sequence[str]) -> dict[str, ClaimNote]:
        found: dict[str, ClaimNote] = {}
        for first in range(0, len(names), 1024):
            some = names[first : first + 1024]
            for name, data in zip(some, self.read_many([f"_claims/{name}.json" for name in some]), strict=True):
                with suppress(ValueError, KeyError, TypeError):
                    document = json.loads(data or b"")
                    found[name] = ClaimNote.of({"pid": 0, "run": "", "since": 0, **document}, not _lapsed(document))
        return found

    def prepare(self) -> None:
        """Nothing to make: an object store has no folders, and whether ours is there is asked by its root document."""

    def remove_strays(self, done: Sequence[str] = ()) -> None:
        """A put leaves no half file; a lease is left behind where its owner died between commit and release."""
        self.delete([f"_claims/{name}.json" for name in done])


def _is_empty(error: Exception) -> bool:
    """Servers refuse any range of an empty file."""
    return any(word in str(error) for word in ("416", "InvalidRange", "not satisfiable"))


class _Lease(Claim):
    """An object that says who works; its owner renews it, and one left alone for ``LEASE_S`` is free again.

    Clocks of the workers must agree to within some seconds. Where two take a lapsed lease at once, both work and the
    exclusive commit record settles it.
    """

    def __init__(self, backend: RemoteBackend, path: str, token: str, run: str) -> None:
        self._backend, self._path, self._token, self._run = backend, path, token, run
        self._since = time.time()
        self._released, self._writing = threading.Event(), threading.Lock()
        threading.Thread(target=self._renew, name=f"lease {path}", daemon=True).start()

    @classmethod
    def take(cls, backend: RemoteBackend, path: str, run: str) -> "_Lease | None":
        token = secrets.token_hex(8)
        document = claim_document(run, token=token, renewed=time.time())
        if backend.write_new(path, document):
            return cls(backend, path, token, run)
        try:
            lapsed = _lapsed(json.loads(backend.read(path)))
        except FileNotFoundError:
            return cls.take(backend, path, run)
        except (ValueError, KeyError, TypeError):
            lapsed = True
        if not lapsed:
            return None
        backend.delete([path])
        return cls(backend, path, token, run) if backend.write_new(path, document) else None

    def _document(self) -> bytes:
        return claim_document(self._run, token=self._token, since=self._since, renewed=time.time())

    def _renew(self) -> None:
        while not self._released.wait(LEASE_S / 4):
            try:
                with self._writing:  # or a renewal could follow its own release, and block others until it lapses
                    if self._released.is_set() or not self.is_mine():
                        return
                    self._backend.write_one(self._path, self._document())
            except (WorkError, FileNotFoundError):
                continue  # the next turn, or the commit itself, will tell

    def is_mine(self) -> bool:
        try:
            return bool(json.loads(self._backend.read(self._path))["token"] == self._token)
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return False

    def release(self, error: str = "") -> None:
        self._released.set()
        with self._writing, suppress(WorkError):  # must not hide the error that came before; a lease that stays lapses
            if not self.is_mine():
                return
            if error:
                self._backend.write_one(self._path, claim_document(self._run, error, token="", renewed=0))
            else:
                self._backend.delete([self._path])


def _lapsed(document: Mapping[str, Any]) -> bool:
    """Whether a lease is free: silent for too long, or given back after a failure."""
    return "error" in document or time.time() - float(document["renewed"]) > LEASE_S
