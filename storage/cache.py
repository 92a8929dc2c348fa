"""Whole shards of a remote store kept in a local folder, by content: never stale, never half a file."""

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

from labelfactory.errors import InputError, WorkError
from labelfactory.storage.backends.backend import Backend, Source
from labelfactory.storage.backends.local import LocalBackend
from labelfactory.storage.manifest import Entries
from labelfactory.storage.records import FileInfo
from labelfactory.whole_files import whole_file

KNOWN_SHARDS = 2048  # whose files' hashes stay in memory: some 3 kB each


class CachedSource(Source):
    """Reads through ``folder``. A file is named by its sha256, which is tested when it arrives; several processes and
    several datasets may share one folder, and deleting any of its files is always safe.
    """

    def __init__(self, backend: Backend, folder: str, entries: Entries) -> None:
        self.backend, self.folder, self.uri, self._entries = backend, Path(folder), backend.uri, entries
        self._files: OrderedDict[int, dict[str, FileInfo]] = OrderedDict()  # of the shards that were read
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cache folder {folder} cannot be made: {error.strerror or error}") from error
        self._local = LocalBackend(self.folder)

    def _committed(self, path: str) -> FileInfo | None:
        """What the commit record states of a file of some shard; None for any other file."""
        _, middle, rest = path.partition("/c/")
        if not middle:
            return None
        shard = int(rest.partition("/")[0])
        files = self._files.get(shard)
        if files is None:
            files = next(self._entries.records([shard])).files
            self._files[shard] = files
            if len(self._files) > KNOWN_SHARDS:
                self._files.popitem(last=False)
        return files.get(path)

    def _fetched(self, path: str, info: FileInfo) -> str:
        """Name of the local copy, made if need be."""
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
        info = self._committed(path)
        return self.backend.read(path) if info is None else self._local.read(self._fetched(path, info))

    def read_ranges(self, path: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        info = self._committed(path)
        source, name = (self.backend, path) if info is None else (self._local, self._fetched(path, info))
        return source.read_ranges(name, ranges)
