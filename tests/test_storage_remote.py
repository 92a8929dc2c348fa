"""Stores on object stores: a real S3 server, also one that fails every fifth request."""

import functools
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import xarray
import zarr
from storage_data import fill, make_arrays, make_spec, tree
from storage_servers import s3_server

from labelfactory.storage import InputError, WorkError, create_store, open_dataset, open_store, verify
from labelfactory.storage.backends import remote as remote_module
from labelfactory.storage.backends.remote import RemoteBackend

SPEC = make_spec()


@pytest.fixture(scope="module")
def server():
    with s3_server() as (proxy, options):
        yield proxy, options


@pytest.fixture
def s3(server, monkeypatch):
    monkeypatch.setattr(remote_module, "FIRST_PAUSE_S", 0.001)
    proxy, options = server
    proxy.break_every = 0
    return proxy, options


def objects(uri, options):
    """Every object under a store, by its path in it."""
    backend = RemoteBackend(uri, options)
    backend.fs.invalidate_cache()
    return {path.removeprefix(backend.root + "/"): backend.fs.cat_file(path) for path in backend.fs.find(backend.root)}


def test_a_store_on_s3_has_the_same_bytes_as_on_disk(s3, tmp_path):
    _, options = s3
    fill(create_store("s3://bucket/same", SPEC, options))
    fill(create_store(str(tmp_path / "set"), SPEC))
    assert objects("s3://bucket/same", options) == tree(tmp_path / "set")
    assert verify("s3://bucket/same", storage_options=options).ok


def test_it_is_read_with_and_without_our_code_and_through_a_cache(s3, tmp_path):
    proxy, options = s3
    fill(create_store("s3://bucket/read", SPEC, options))
    truth = np.concatenate([make_arrays(SPEC, k)["image"] for k in range(3)])
    assert np.array_equal(zarr.open_group("s3://bucket/read", mode="r", storage_options=options)["image"][:], truth)
    assert np.array_equal(xarray.open_zarr("s3://bucket/read", storage_options=options)["image"].values, truth)
    dataset = open_dataset("s3://bucket/read", keep=False, storage_options=options)
    assert np.array_equal(dataset.read("image", [9, 0, 5]), truth[[9, 0, 5]])
    cached = open_dataset("s3://bucket/read", keep=False, cache=str(tmp_path / "cache"), storage_options=options)
    assert np.array_equal(cached.read("image", range(10)), truth)
    before = len(proxy.requests)
    assert np.array_equal(cached.read("image", range(10)), truth)
    assert len(proxy.requests) == before


def test_making_and_reading_never_lists(s3):
    proxy, options = s3
    before = len(proxy.requests)
    fill(create_store("s3://bucket/lists", SPEC, options))
    open_dataset("s3://bucket/lists", storage_options=options).read("image", range(10))
    lists = [line for line in proxy.requests[before:] if "list-type" in line or "prefix=" in line]
    assert lists == []


def test_a_server_that_fails_every_fifth_request_delays_but_harms_nothing(s3, tmp_path):
    proxy, options = s3
    proxy.break_every = 5
    options = {**options, "config_kwargs": {"retries": {"max_attempts": 0}}}
    broken = proxy.broken
    fill(create_store("s3://bucket/flaky", SPEC, options))
    assert proxy.broken - broken > 15
    assert open_dataset("s3://bucket/flaky", storage_options=options).read("image", range(10)).shape[0] == 10
    assert verify("s3://bucket/flaky", storage_options=options).ok
    proxy.break_every = 0
    fill(create_store(str(tmp_path / "set"), SPEC))
    assert objects("s3://bucket/flaky", options) == tree(tmp_path / "set")


def test_a_server_that_is_gone_is_one_clear_line_and_the_store_resumes(s3, monkeypatch):
    proxy, options = s3
    options = {**options, "config_kwargs": {"retries": {"max_attempts": 0}}}
    store = create_store("s3://bucket/gone", SPEC, options)
    store.backend.fs.retries = 1  # the client's own patience is not what is tested
    store.write_shard(0, make_arrays(SPEC, 0))
    proxy.break_every = 1
    with pytest.raises(WorkError, match=r"s3://bucket/gone/.* failed 6 times .*: run the command again"):
        store.write_shard(1, make_arrays(SPEC, 1))
    proxy.break_every = 0
    monkeypatch.setattr(remote_module, "LEASE_S", 0.5)  # the dead worker's claim lapses
    again = create_store("s3://bucket/gone", SPEC, options)
    assert 0 not in again.missing()
    fill(again)
    assert verify("s3://bucket/gone", storage_options=options).ok


def test_wrong_places_and_keys(s3):
    _, options = s3
    with pytest.raises(InputError, match="not a dataset store"):
        open_store("s3://bucket/none", options)
    with pytest.raises(InputError, match="cannot be opened"):
        open_store("nonsense://bucket/none")


def test_two_writers_at_once_share_the_work_without_waste(s3, tmp_path):
    proxy, options = s3
    spec, before = make_spec(count=24), len(proxy.requests)

    def write():
        fill(create_store("s3://bucket/both", spec, options))

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(write) for _ in range(2)]:
            done.result()
    puts = [line for line in proxy.requests[before:] if line.startswith("PUT") and "/image/c/" in line]
    assert len(puts) == len(set(puts)) == 6  # every shard once
    fill(create_store(str(tmp_path / "set"), spec))
    assert objects("s3://bucket/both", options) == tree(tmp_path / "set")


def test_a_claim_left_by_a_worker_that_died_after_its_commit_is_removed(s3):
    _, options = s3
    store = create_store("s3://bucket/stray", SPEC, options)
    store.write_shard(0, make_arrays(SPEC, 0))
    store.claim(0)
    store._claims.pop(0)._released.set()
    fill(store)
    assert not [path for path in objects("s3://bucket/stray", options) if "_claims" in path]


def test_truncated_and_missing_objects_are_named(s3):
    _, options = s3
    fill(create_store("s3://bucket/cut", SPEC, options))
    backend = RemoteBackend("s3://bucket/cut", options)
    backend.write({"image/c/1/0/0/0": b"", "mask/c/0/0/0": backend.read("mask/c/0/0/0")[:-1]})
    backend.delete(["seed/c/2"])
    found = [str(finding) for finding in verify("s3://bucket/cut", storage_options=options).findings]
    assert "shard 0: mask/c/0/0/0: has" in found[0]
    assert "shard 1: image/c/1/0/0/0: has 0 bytes" in found[1]
    assert found[2] == "shard 2: seed/c/2: missing"


def test_a_lease_is_seen_renewed_and_taken_over_when_it_lapses(s3, monkeypatch):
    monkeypatch.setattr(remote_module, "LEASE_S", 0.4)
    _, options = s3
    one, two = (create_store("s3://bucket/lease", SPEC, options) for _ in range(2))
    assert one.claim(0)
    assert not two.claim(0)
    time.sleep(0.8)
    assert not two.claim(0)  # renewed meanwhile
    claim = one._claims[0]
    claim._released.set()  # its owner dies: nothing is renewed, nothing released
    time.sleep(0.6)
    assert two.claim(0)
    with pytest.raises(WorkError, match="taken over by another worker"):
        one.write_shard(0, make_arrays(SPEC, 0))
    two.write_shard(0, make_arrays(SPEC, 0))
    assert two.missing() == [1, 2]
    assert [path for path in objects("s3://bucket/lease", options) if "_claims" in path] == []


def test_two_different_makings_of_one_shard_leave_no_record(s3):
    _, options = s3
    one, two = (create_store("s3://bucket/two", SPEC, options) for _ in range(2))
    other = make_arrays(SPEC, 0)
    other["image"] = 255 - other["image"]
    write = one.backend.write

    def late(files):  # the other worker, whose lease was thought to have lapsed, commits in between
        write(files)
        one.release(0)
        two.write_shard(0, make_arrays(SPEC, 0))
        one.claim(0)

    one.backend.write = late
    with pytest.raises(WorkError, match="two workers made shard 0 differently"):
        one.write_shard(0, other)
    assert 0 in two.missing()


def test_memory_stores_work_too():
    fill(create_store("memory://set", SPEC))
    assert verify("memory://set").ok
    manifest = json.loads(RemoteBackend("memory://set").read("manifest.json"))
    assert manifest["count"] == 10


class _Files(SimpleHTTPRequestHandler):
    """Python's file server, which ignores ranges, or answers them where told so."""

    ranges = True

    def do_GET(self):
        asked = self.headers.get("Range")
        if not (self.ranges and asked):
            return super().do_GET()
        data = Path(self.translate_path(self.path)).read_bytes()
        first, last = asked.removeprefix("bytes=").split("-")
        data = data[-int(last) :] if not first else data[int(first) : int(last) + 1 if last else None]
        self.send_response(206)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        return None

    def log_message(self, *_):
        pass


@pytest.mark.parametrize("ranges", [True, False])
def test_a_store_is_read_over_plain_http(tmp_path, ranges, monkeypatch):
    monkeypatch.setattr(_Files, "ranges", ranges)
    fill(create_store(str(tmp_path / "set"), SPEC))
    truth = open_dataset(str(tmp_path / "set")).read("mask", [9, 2])
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Files, directory=str(tmp_path))) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        uri = f"http://127.0.0.1:{http.server_port}/set"
        dataset = open_dataset(uri, keep=False)
        if ranges:
            assert np.array_equal(dataset.read("mask", [9, 2]), truth)
        else:
            with pytest.raises(WorkError, match="ignores byte ranges: open it with cache"):
                dataset.read("mask", [9, 2])
        assert np.array_equal(open_dataset(uri, cache=str(tmp_path / "cache")).read("mask", [9, 2]), truth)
        assert verify(uri).ok
        with pytest.raises((InputError, WorkError)):
            create_store(uri, make_spec(count=20))
        http.shutdown()
