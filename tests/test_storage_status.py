"""The state of a store that is being made: shards done, stale, being made, failed and missing, and which are chosen."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from storage_data import fill, make_arrays, make_spec, tree
from storage_servers import s3_server

from labelfactory.errors import Interrupted
from labelfactory.storage import InputError, WorkError, create_store, finalize, open_dataset, open_store, verify
from labelfactory.storage.backends.remote import LEASE_S
from labelfactory.storage.status import Status, chosen_shards, look, ranges, status

SPEC = make_spec(count=40, shard_size=4)
HOLDER = """
import sys
from labelfactory.storage import open_store
store = open_store(sys.argv[1], run="r1")
store.claim(6)
print(flush=True)
input()
"""


def fail(store, shard, error):
    """The shard's maker fails with this."""

    def making():
        assert store.claim(shard)
        with store.making(shard):
            raise error

    with pytest.raises(type(error)):
        making()


def test_every_state_is_told_and_cleared(tmp_path):
    uri = str(tmp_path / "set")
    store = create_store(uri, SPEC)
    store.run = "brave-finch"
    store.claim(3)
    store.write_shard(3, make_arrays(SPEC, 3))
    store.claim(5)
    fail(store, 7, WorkError("the GPU\nhas left"))
    found = status(uri)
    assert (found.done, list(found.making), list(found.failed)) == (1, [5], [7])
    assert found.missing == [0, 1, 2, 4, 6, 8, 9]
    lines = list(found.lines())
    assert lines[0].endswith("1 of 10 shards done, 1 being made, 1 failed, 7 missing; not finished")
    assert lines[1:4] == ["0-2 missing", "3 done", "4 missing"]
    here = f"process {os.getpid()} on {socket.gethostname()}, run brave-finch"
    assert lines[4].startswith(f"5 being made: by {here}, since 20")
    assert lines[6].startswith(f"7 failed: the GPU has left ({here}, 20")
    assert lines[7] == "8-9 missing"
    told = found.to_json()
    assert json.loads(json.dumps(told)) == told
    assert (told["done"], told["being_made"], told["failed"], told["missing"]) == (1, 1, 1, 7)
    assert told["ranges"][3] | {"since": 0, "why": ""} == {
        "first": 5, "last": 5, "state": "being made", "why": "", "since": 0,
        "host": socket.gethostname(), "pid": os.getpid(), "run": "brave-finch",
    }  # fmt: skip
    store.release(5)
    create_store(uri, SPEC)  # another worker starts: what failed is still told
    assert list(status(uri).failed) == [7]
    assert store.claim(7)
    assert status(uri).failed == {}
    store.write_shard(7, make_arrays(SPEC, 7))
    found = status(uri)
    assert (found.done, found.failed, found.making) == (2, {}, {})
    fail(store, 8, Interrupted("stopped by a person"))
    assert status(uri).failed == {}
    fail(store, 8, ValueError("shape"))
    fill(store)
    found = status(uri)
    assert list(found.lines()) == [f"{uri}: 10 of 10 shards done; finished", "0-9 done"]
    assert not any("_claims" in path for path in tree(tmp_path / "set"))
    with pytest.raises(InputError, match="not a dataset store"):
        status(str(tmp_path / "none"))


def test_what_a_killed_process_had_is_told_at_once(tmp_path):
    uri = str(tmp_path / "set")
    create_store(uri, SPEC)
    code = "import sys; from labelfactory.storage import open_store; s = open_store(sys.argv[1], run='r1'); s.claim(6)"
    holder = subprocess.Popen(
        [sys.executable, "-c", code + "; print(flush=True); input()", uri],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert holder.stdout is not None
        holder.stdout.readline()
        assert status(uri).making[6].pid == holder.pid
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        found = status(uri)
        assert (found.making, list(found.failed)) == ({}, [6])
        assert f"process {holder.pid} on {socket.gethostname()}, run r1, which had it since" in list(found.lines())[2]
        assert chosen_shards(open_store(uri), "failed") == [6]
    finally:
        holder.kill()
        holder.communicate()
    (tmp_path / "set/_claims/000002.lock").touch()  # of an earlier version
    assert "2 failed: a process on this machine" in list(status(uri).lines())[2]
    fill(open_store(uri))


def test_on_an_object_store_the_lease_tells_who(monkeypatch):
    with s3_server() as (_, options):
        uri = "s3://bucket/status"
        store = create_store(uri, make_spec(), options)
        other = open_store(uri, options, run="r2")
        assert other.claim(1)
        fail(other, 2, WorkError("bucket is full"))
        found = status(uri, options)
        assert found.missing == [0]
        assert (found.making[1].host, found.making[1].run) == (socket.gethostname(), "r2")
        assert found.failed[2].error == "bucket is full"
        assert list(store.claim_missing([2], wait=False)) == [2]  # free again at once
        store.write_shard(2, make_arrays(store.spec, 2))
        assert status(uri, options).failed == {}
        monkeypatch.setattr("labelfactory.storage.backends.remote.LEASE_S", -1.0)
        assert list(status(uri, options).failed) == [1]  # silent for longer than its lease
        monkeypatch.setattr("labelfactory.storage.backends.remote.LEASE_S", LEASE_S)
        store.close()
        other.close()


def other_software(monkeypatch, **versions):
    ours = {"labelfactory": "9.9", "numpy": "1", "numcodecs": "1", "torch": "not installed", **versions}
    for module in ("store", "status"):
        monkeypatch.setattr(f"labelfactory.storage.{module}.software_versions", lambda: ours)


def test_stale_shards_are_named_and_made_anew(tmp_path, monkeypatch):
    uri, folder = str(tmp_path / "set"), tmp_path / "set"
    first = create_store(uri, SPEC)
    for shard in (0, 1, 2):
        first.write_shard(shard, make_arrays(SPEC, shard))
    sound = {path: data for path, data in tree(folder).items() if "/c/" in path}
    other_software(monkeypatch)
    store = create_store(uri, SPEC)
    store.write_shard(3, make_arrays(SPEC, 3))
    assert list(look(store).stale) == [0, 1, 2]
    assert "made by labelfactory 0" in look(store).stale[0]
    assert "(here 9.9)" in look(store).stale[0]
    assert "torch" not in look(store).stale[0]  # what is not here cannot have made it otherwise
    fill(store)
    assert verify(uri).ok
    assert look(store).summary().endswith("10 of 10 shards done, 3 stale; finished")
    assert chosen_shards(store, "stale") == [0, 1, 2]
    store.withdraw([0, 1, 2])
    assert store.manifest() is None
    assert store.missing() == [0, 1, 2]
    fill(store)
    assert look(store).stale == {}
    assert verify(uri).ok
    assert sound.items() <= tree(folder).items()
    monkeypatch.undo()
    assert len(look(open_store(uri)).stale) == 10


def test_a_shard_of_another_data_set_is_stale(tmp_path):
    for name, seed in (("set", 7), ("other", 8)):
        fill(create_store(str(tmp_path / name), make_spec(count=40, shard_size=4, seed=seed)))
    path = "_commits/000004.json"
    (tmp_path / "set" / path).write_bytes((tmp_path / "other" / path).read_bytes())
    found = status(str(tmp_path / "set"))
    assert list(found.stale) == [4]
    assert found.stale[4].startswith("of another data set (spec ")
    assert (found.done, found.missing) == (9, [])
    (tmp_path / "set" / path).write_bytes(b"{}")
    assert status(str(tmp_path / "set")).missing == [4]


def test_withdrawing_leaves_what_others_are_making(tmp_path):
    uri = str(tmp_path / "set")
    fill(create_store(uri, SPEC))
    mine, other = open_store(uri), open_store(uri)
    assert other.claim(2)
    mine.withdraw([1, 2])
    assert mine.missing() == [1]
    other.close()
    with pytest.raises(InputError, match="not finished"):
        open_dataset(uri)
    mine.write_shard(1, make_arrays(SPEC, 1))
    finalize(mine)
    assert verify(uri).ok


@pytest.mark.parametrize(
    ("text", "shards"),
    [("3", [3]), ("3,7,1", [1, 3, 7]), ("2:5", [2, 3, 4]), ("9:10,0:2,1", [0, 1, 9]), ("missing", list(range(10)))],
)
def test_shards_are_chosen_by_number_range_and_state(tmp_path, text, shards):
    assert chosen_shards(create_store(str(tmp_path / "set"), SPEC), text) == shards


@pytest.mark.parametrize(
    ("text", "message"),
    [("10", "shard 10 does not exist: expected 0 to 9"), ("5:11", "shard 10 does not exist"), ("5:5", "empty range"),
     ("six", "expected 3,7,10:20"), ("", "expected 3,7"), ("-1", "shard -1 does not exist"), ("1:", "expected 3,7")],
)  # fmt: skip
def test_what_is_no_choice_is_refused(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        chosen_shards(create_store(str(tmp_path / "set"), SPEC), text)


def test_a_second_look_reads_what_was_not_done_alone(tmp_path, monkeypatch):
    store = create_store(str(tmp_path / "set"), SPEC)
    for shard in range(8):
        store.write_shard(shard, make_arrays(SPEC, shard))
    before, asked = look(store), []
    read = store.backend.read_many
    monkeypatch.setattr(store.backend, "read_many", lambda paths: asked.extend(paths) or read(paths))
    store.write_shard(9, make_arrays(SPEC, 9))
    asked.clear()
    assert look(store, before).missing == [8]
    assert [Path(path).stem for path in asked if path.startswith("_commits")] == ["000008", "000009"]


def test_many_rows_are_cut_short_for_people_alone():
    missing = list(range(1, 300, 2))
    found = Status("many", 300, False, missing=missing, lacking=set(missing))
    lines = list(found.lines())
    assert len(lines) == 102
    assert "--json has all" in lines[-1]
    assert len(found.to_json()["ranges"]) == 300
    assert ranges(found.missing) == "1, 3, 5, 7, 9, 11, 13, 15, 17, 19, ..."
    assert ranges([1, 2, 3, 7]) == "1-3, 7"
