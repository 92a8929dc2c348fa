"""Every backend of the table passes the contract's suite."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from backend_contract import BackendContract
from storage_servers import s3_server

from labelfactory.errors import InputError
from labelfactory.storage.backends.backend import Backend
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
