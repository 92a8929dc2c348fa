"""What every backend promises (storage/backends/backend.py), as tests that each member of the table inherits."""

import os
import socket
import time
from collections.abc import Callable

import pytest

from labelfactory.storage.backends.backend import Backend


class BackendContract:
    """``make(place)`` opens a place of that name: equal names are the same place, other names are empty at first."""

    @pytest.fixture
    def make(self) -> Callable[[str], Backend]:
        raise AssertionError("a member of the suite says how its backend is made")

    @pytest.fixture
    def backend(self, make: Callable[[str], Backend], request: pytest.FixtureRequest) -> Backend:
        made = make(request.node.name.partition("[")[0])
        made.prepare()
        return made

    def test_what_is_written_is_read_and_replaced(self, backend: Backend) -> None:
        backend.write({"a": b"one", "deep/er/b": b"", "deep/c": bytes(range(256))})
        assert backend.read("a") == b"one"
        assert backend.read("deep/er/b") == b""
        assert backend.read_many(["deep/c", "nothing", "a"]) == [bytes(range(256)), None, b"one"]
        backend.write({"a": b"two"})
        assert backend.read("a") == b"two"

    def test_what_is_missing_is_a_file_not_found(self, backend: Backend) -> None:
        for path in ("nothing", "a/b"):
            with pytest.raises(FileNotFoundError):
                backend.read(path)
            with pytest.raises(FileNotFoundError):
                backend.read_ranges(path, [(0, 1)])

    def test_pieces_are_those_of_the_file(self, backend: Backend) -> None:
        content = bytes(range(100))
        backend.write({"a": content})
        assert backend.read_ranges("a", [(0, 100), (10, 20), (-5, 0), (99, 100)]) == [
            content, content[10:20], content[-5:], content[99:],
        ]  # fmt: skip

    def test_a_new_file_is_made_once(self, backend: Backend) -> None:
        assert backend.write_new("record", b"first")
        assert not backend.write_new("record", b"second")
        assert backend.read("record") == b"first"

    def test_deleting_is_final_and_may_be_repeated(self, backend: Backend) -> None:
        backend.write({"a": b"1", "b": b"2"})
        backend.delete(["a", "never"])
        backend.delete(["a"])
        assert backend.read_many(["a", "b"]) == [None, b"2"]
        assert backend.write_new("a", b"again")

    def test_a_claim_has_one_owner(self, make: Callable[[str], Backend], backend: Backend) -> None:
        other = make("test_a_claim_has_one_owner")
        claim = backend.claim("000001")
        assert claim is not None
        assert claim.is_mine()
        assert other.claim("000001") is None
        second = other.claim("000002")
        assert second is not None
        second.release()
        claim.release()
        again = other.claim("000001")
        assert again is not None
        again.release()

    def test_a_claim_tells_whose_it_is_and_what_went_wrong(self, backend: Backend) -> None:
        names = ["000001", "000002", "000003"]
        assert backend.claims(names) == {}
        held, failing = backend.claim("000001", "a run"), backend.claim("000002")
        assert held is not None
        assert failing is not None
        failing.release("the disk is full")
        found = backend.claims(names)
        assert found.keys() == {"000001", "000002"}
        note = found["000001"]
        assert (note.state, note.host, note.pid, note.run) == ("held", socket.gethostname(), os.getpid(), "a run")
        assert abs(note.since - time.time()) < 60
        assert (found["000002"].state, found["000002"].error) == ("failed", "the disk is full")
        backend.remove_strays()
        assert backend.claims(names).keys() == {"000001", "000002"}
        again = backend.claim("000002")  # a failure keeps nobody from trying again
        assert again is not None
        assert backend.claims(names)["000002"].state == "held"
        again.release()
        held.release()
        assert backend.claims(names) == {}
        failing = backend.claim("000003")
        assert failing is not None
        failing.release("once more")
        backend.remove_strays(["000003"])  # its work is finished, by whomever
        assert backend.claims(names) == {}

    def test_strays_go_and_files_stay(self, backend: Backend) -> None:
        backend.write({"zarr.json": b"{}", "a": b"1"})
        claim = backend.claim("000001")
        assert claim is not None
        backend.remove_strays()
        assert backend.claim("000001") is None  # its owner lives
        claim.release()
        backend.remove_strays(["000001"])
        assert backend.read_many(["zarr.json", "a"]) == [b"{}", b"1"]

    def test_its_address_opens_it_again(self, backend: Backend) -> None:
        assert backend.uri
        assert str(backend.uri).count("\n") == 0
