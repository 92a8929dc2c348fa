"""Whole shards of a remote store kept in a local folder, by content: never stale, never half a file."""

from collections.abc import Sequence
from pathlib import Path

from labelfactory.errors import InputError, WorkError
from labelfactory.storage.backends.backend import Backend, Source
from labelfactory.storage.backends.local import LocalBackend
from labelfactory.storage.records import CommitRecord, FileInfo
from labelfactory.whole_files import whole_file


class CachedSource(Source):
    """Reads through ``folder``. A file is named by its sha256, which is tested when it arrives; several processes and
    several datasets may share one folder, and deleting any of its files is always safe.
    """

    def __init__(self, backend: Backend, folder: str, records: Sequence[CommitRecord]) -> None:
        self.backend, self.folder, self.uri = backend, Path(folder), backend.uri
        self.files: dict[str, FileInfo] = {path: info for record in records for path, info in record.files.items()}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cache folder {folder} cannot be made: {error.strerror or error}") from error
        self._local = LocalBackend(self.folder)

    def _fetched(self, path: str) -> str:
        """Name of the local copy, made if need be."""
        info = self.files[path]
        name = f"{info.sha256[:2]}/{info.sha256}"
        target = self.folder / name
        if not (target.exists() and target.stat().st_size == info.size):
            data = self.backend.read(path)
            if not info.matches(data):
                raise WorkError(f"{path} is not as committed: run `factory verify {self.uri}`")
            target.parent.mkdir(exist_ok=True)
            with whole_file(target, durable=False) as file:  # a torn file fails its size or its checksums
                file.write(data)
        return name

    def read(self, path: str) -> bytes:
        return self._local.read(self._fetched(path)) if path in self.files else self.backend.read(path)

    def read_ranges(self, path: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        if path not in self.files:
            return self.backend.read_ranges(path, ranges)
        return self._local.read_ranges(self._fetched(path), ranges)
