"""Object stores and servers through fsspec: whole-object puts, no listing, no rename, bounded retries."""

import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import fsspec

from storage.backend import Backend, Claim
from storage.errors import InputError, WorkError

ATTEMPTS = 6
FIRST_PAUSE_S = 0.1
LEASE_S = 60.0

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
        return bytes(self._retry(path, lambda: self.fs.cat_file(self._path(path))))

    def read_ranges(self, path: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        full = self._path(path)

        def action() -> list[bytes]:
            if len(ranges) == 1:
                start, stop = ranges[0]
                return [self.fs.cat_file(full, start=start, end=None if start < 0 else stop)]
            return list(
                self.fs.cat_ranges([full] * len(ranges), *map(list, zip(*ranges, strict=True)), on_error="raise")
            )

        return self._retry(path, action)

    def read_many(self, paths: Sequence[str]) -> list[bytes | None]:
        self._same_process()
        if not paths:
            return []
        found = self.fs.cat([self._path(path) for path in paths], on_error="return")
        result: list[bytes | None] = []
        for path in paths:
            value = found.get(self._path(path)) if isinstance(found, dict) else found
            if isinstance(value, FileNotFoundError):
                result.append(None)
            elif isinstance(value, bytes):
                result.append(value)
            else:  # the bulk read met an error: once more, alone, with retries
                try:
                    result.append(self.read(path))
                except FileNotFoundError:
                    result.append(None)
        return result

    def write(self, files: Mapping[str, bytes]) -> None:
        for path, data in files.items():
            self._retry(path, lambda path=path, data=data: self.fs.pipe_file(self._path(path), data))  # type: ignore[misc]

    def write_new(self, path: str, data: bytes) -> bool:
        try:
            self._retry(path, lambda: self.fs.pipe_file(self._path(path), data, mode="create"))
        except FileExistsError:
            # A put whose answer was lost is repeated and then meets itself: the same bytes are ours.
            return self.read(path) == data
        return True

    def delete(self, paths: Sequence[str]) -> None:
        for path in paths:
            try:
                self._retry(path, lambda path=path: self.fs.rm_file(self._path(path)))  # type: ignore[misc]
            except FileNotFoundError:
                continue

    def size(self, path: str) -> int | None:
        self.fs.invalidate_cache()
        try:
            return int(self._retry(path, lambda: self.fs.info(self._path(path)))["size"])
        except FileNotFoundError:
            return None

    def claim(self, name: str) -> Claim | None:
        return _Lease.take(self, f"_claims/{name}.json")

    def prepare(self) -> None:
        """Nothing to make: an object store has no folders, and whether ours is there is asked by its root document."""

    def remove_strays(self) -> None:
        """A put leaves no half file, and a dead worker's lease is taken over by whoever makes its shard."""


class _Lease(Claim):
    """An object that says who works; its owner renews it, and one left alone for ``LEASE_S`` is free again.

    Clocks of the workers must agree to within some seconds. Where two take a lapsed lease at once, both work and the
    exclusive commit record settles it.
    """

    def __init__(self, backend: RemoteBackend, path: str, token: str) -> None:
        self._backend, self._path, self._token = backend, path, token
        self._released = threading.Event()
        threading.Thread(target=self._renew, name=f"lease {path}", daemon=True).start()

    @classmethod
    def take(cls, backend: RemoteBackend, path: str) -> "_Lease | None":
        token = secrets.token_hex(8)
        if backend.write_new(path, cls._document(token)):
            return cls(backend, path, token)
        try:
            document = json.loads(backend.read(path))
            lapsed = time.time() - float(document["renewed"]) > LEASE_S
        except FileNotFoundError:
            return cls.take(backend, path)
        except (ValueError, KeyError, TypeError):
            lapsed = True
        if not lapsed:
            return None
        backend.delete([path])
        return cls(backend, path, token) if backend.write_new(path, cls._document(token)) else None

    @staticmethod
    def _document(token: str) -> bytes:
        return json.dumps({"token": token, "host": socket.gethostname(), "renewed": time.time()}).encode()

    def _renew(self) -> None:
        while not self._released.wait(LEASE_S / 4):
            try:
                if not self.is_mine():
                    return
                self._backend.write({self._path: self._document(self._token)})
            except (WorkError, FileNotFoundError):
                continue  # the next turn, or the commit itself, will tell

    def is_mine(self) -> bool:
        try:
            return bool(json.loads(self._backend.read(self._path))["token"] == self._token)
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return False

    def release(self) -> None:
        self._released.set()
        if self.is_mine():
            self._backend.delete([self._path])
