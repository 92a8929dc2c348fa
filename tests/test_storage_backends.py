"""Every backend of the table passes the contract's suite."""

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from backend_contract import BackendContract
from storage_servers import s3_server

from labelfactory.errors import InputError, WorkError
from labelfactory.storage.backends import local
from labelfactory.storage.backends.backend import Backend
from labelfactory.storage.backends.flushing import flush_all, flushes_together
from labelfactory.storage.backends.local import LocalBackend
from labelfactory.storage.backends.opening import BACKENDS, open_backend
from labelfactory.storage.backends.remote import RemoteBackend


class TestLocal(BackendContract):
    @pytest.fixture
    def make(self, tmp_path: Path) -> Callable[[str], Backend]:
        return lambda place: open_backend(str(tmp_path / place))

    def test_a_place_that_holds_something_else_is_refused(self, make: Callable[[str], Backend]) -> None:
        taken = make("taken")
        taken.prepare()
        taken.write({"somebody/notes.txt": b"mine"})
        with pytest.raises(InputError, match="something else"):
            make("taken").prepare()
        assert taken.read("somebody/notes.txt") == b"mine"

    @pytest.mark.parametrize("together", [True, False])
    def test_many_files_are_whole_or_not_there(
        self, make: Callable[[str], Backend], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, together: bool
    ) -> None:
        backend, files = make("many"), {f"keep/c/{i}": b"%d" % i for i in range(600)}
        flushed: list[Path] = []
        monkeypatch.setattr(local, "flushes_together", lambda: together and flushes_together())
        monkeypatch.setattr(local, "flush_all", lambda folder: flushed.append(folder) or flush_all(folder))
        backend.write(files)
        assert backend.read_many(list(files)) == list(files.values())
        assert len(flushed) == (3 if together else 0)
        replace, left = os.replace, [300]

        def fails(source: Path, target: Path) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise OSError(errno.ENOSPC, "full")
            replace(source, target)

        monkeypatch.setattr(os, "replace", fails)
        with pytest.raises(WorkError, match="no space left"):
            backend.write(dict.fromkeys(files, b"new"))
        found = backend.read_many(list(files))
        assert all(data in (b"new", old) for data, old in zip(found, files.values(), strict=True))
        assert found.count(b"new") == 300
        assert list((tmp_path / "many" / "_tmp").iterdir()) == []

    def test_a_folder_that_is_gone_cannot_be_flushed(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            flush_all(tmp_path / "gone")


class TestFileAddress(BackendContract):
    @pytest.fixture
    def make(self, tmp_path: Path) -> Callable[[str], Backend]:
        return lambda place: open_backend((tmp_path / place).as_uri())


class TestMemory(BackendContract):
    @pytest.fixture
    def make(self, request: pytest.FixtureRequest) -> Callable[[str], Backend]:
        return lambda place: open_backend(f"memory://contract/{place}")


@pytest.fixture(scope="module")
def options() -> Iterator[dict]:
    with s3_server() as (_, found):
        yield found


class TestS3(BackendContract):
    @pytest.fixture
    def make(self, options: dict) -> Callable[[str], Backend]:
        return lambda place: open_backend(f"s3://bucket/contract/{place}", options)


def test_the_scheme_chooses() -> None:
    assert isinstance(open_backend("somewhere"), LocalBackend)
    assert isinstance(open_backend("file:///somewhere"), LocalBackend)
    assert isinstance(open_backend("memory://somewhere"), RemoteBackend)
    assert {"", "file", "local", "*"} <= set(BACKENDS)
    with pytest.raises(InputError, match="empty"):
        open_backend("")
