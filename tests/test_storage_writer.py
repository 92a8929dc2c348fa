"""Writing in the background: bounded, in order of arrival, and no error is swallowed."""

import threading

import pytest
from storage_data import fill, make_arrays, make_spec, tree

from labelfactory.storage import InputError, ShardWriter, WorkError, create_store, finalize


def test_a_background_writer_makes_the_same_store(tmp_path):
    spec = make_spec(count=30)
    store = create_store(str(tmp_path / "a"), spec)
    with ShardWriter(store, threads=2) as writer:
        for shard in store.claim_missing():
            writer.put(shard, make_arrays(spec, shard))
    assert store.missing() == []
    finalize(store)
    fill(create_store(str(tmp_path / "b"), spec))
    assert tree(tmp_path / "a") == tree(tmp_path / "b")


def test_no_more_waits_than_the_bound_allows(tmp_path, monkeypatch):
    store = create_store(str(tmp_path / "set"), make_spec(count=40))
    gate, begun = threading.Event(), []
    write = store.write_shard

    def slow(shard, arrays):
        begun.append(shard)
        gate.wait(20)
        return write(shard, arrays)

    monkeypatch.setattr(store, "write_shard", slow)
    handed = []

    def generate():
        with ShardWriter(store, queue=2) as writer:
            for shard in range(10):
                writer.put(shard, make_arrays(store.spec, shard))
                handed.append(shard)

    thread = threading.Thread(target=generate)
    thread.start()
    thread.join(0.5)
    assert handed == [0, 1, 2]  # one being written, two waiting; the fourth put waits
    assert begun == [0]
    gate.set()
    thread.join(20)
    assert store.missing() == []


def test_an_error_reaches_the_generating_thread_and_frees_the_claims(tmp_path):
    store, other = (create_store(str(tmp_path / "set"), make_spec(count=40)) for _ in range(2))
    bad = make_arrays(store.spec, 0)
    bad["mask"][:] = 77

    def generate():
        with ShardWriter(store) as writer:
            for shard in store.claim_missing():
                writer.put(shard, bad if shard == 0 else make_arrays(store.spec, shard))

    with pytest.raises(InputError, match="mask has the value 77"):
        generate()
    assert 0 in store.missing()
    assert all(other.claim(shard) for shard in store.missing())


def test_what_the_generator_raises_is_not_hidden(tmp_path):
    store = create_store(str(tmp_path / "set"), make_spec())

    def generate():
        with ShardWriter(store) as writer:
            writer.put(0, make_arrays(store.spec, 0))
            raise WorkError("the GPU has left")

    with pytest.raises(WorkError, match="GPU has left"):
        generate()
    with pytest.raises(InputError, match="threads 0"):
        ShardWriter(store, threads=0)
