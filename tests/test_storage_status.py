"""The state of a store that is being made: what is done, what somebody makes, what is missing."""

import pytest
from storage_data import fill, make_arrays, make_spec
from storage_servers import s3_server

from labelfactory.storage import InputError, create_store, open_store
from labelfactory.storage.status import status


def test_done_being_made_missing_and_finished(tmp_path):
    uri = str(tmp_path / "set")
    store = create_store(uri, make_spec(count=40, shard_size=4))
    store.claim(3)
    store.write_shard(3, make_arrays(store.spec, 3))
    store.claim(5)
    found = status(uri)
    assert (found.done, list(found.making), found.missing) == (1, [5], [0, 1, 2, 4, 6, 7, 8, 9])
    lines = list(found.lines())
    assert lines[0].endswith("1 of 10 shards done, 1 being made, 8 missing; not finished")
    assert lines[1].startswith("shard 5: being made on this machine or one that shares its disk, since 20")
    assert lines[2] == "missing: 0-2, 4, 6-9"
    store.release(5)
    (tmp_path / "set/_claims").mkdir(exist_ok=True)
    (tmp_path / "set/_claims/000006.lock").touch()  # left behind by one that died
    assert status(uri).making == {}
    fill(store)
    assert next(iter(status(uri).lines())).endswith("10 of 10 shards done, 0 being made, 0 missing; finished")
    with pytest.raises(InputError, match="not a dataset store"):
        status(str(tmp_path / "none"))


def test_on_an_object_store_the_lease_tells_who():
    with s3_server() as (_, options):
        store = create_store("s3://bucket/status", make_spec(), options)
        assert open_store("s3://bucket/status", options).claim(1)
        found = status("s3://bucket/status", options)
        assert found.missing == [0, 2]
        assert found.making[1].startswith("on ")
        store.close()
