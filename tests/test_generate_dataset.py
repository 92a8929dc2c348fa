"""The generate-dataset flow in this process, against a real Prefect server; the same bytes by every way of running."""

import asyncio
import importlib.util
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from listening import is_loopback, watched_sockets
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.utilities.callables import parameter_schema
from storage_data import fill, make_spec

from labelfactory.errors import InputError, WorkError
from labelfactory.factory.production.line import make_shards, open_output, produce
from labelfactory.factory.production.models import forget_models
from labelfactory.factory.production.order import Order
from labelfactory.factory.production.prepare import prepare
from labelfactory.flows.generate_dataset import generate_dataset
from labelfactory.flows.partitions import Partitions
from labelfactory.flows.runners import Execution
from labelfactory.flows.verify_dataset import verify_dataset
from labelfactory.storage import Store, create_store, open_store
from labelfactory.storage.metadata import model_path
from labelfactory.storage.status import status

COUNT, SHARD = 200, 16


@pytest.fixture(scope="module")
def plain(tiny_world, tmp_path_factory) -> tuple[Store, float]:
    """The store as one process makes it without Prefect, and the seconds that it took."""
    out = str(tmp_path_factory.mktemp("plain") / "plain.zarr")
    cache = tmp_path_factory.getbasetemp() / "cache"  # that of the tests: this fixture runs before it is set
    job = prepare(Order(**orders(tiny_world, out)), cache=cache, progress=False)
    began = time.monotonic()
    produce(job, progress=False)
    return open_store(out), time.monotonic() - began


def orders(tiny_world, out: str) -> dict:
    world = {"generator": str(tiny_world.checkpoint), "labels": str(tiny_world.labels)}
    return {**world, "out": out, "count": COUNT, "shard_size": SHARD, "device": "cpu"}


def same(one: Store, other: Store) -> bool:
    """Equal to the last bit: the records hold the hash of every file of every shard, the manifest those of the rest."""
    records = list(one.records())
    return None not in records and records == list(other.records()) and one.manifest() == other.manifest()


def artifacts() -> dict[str, str]:
    """The latest of each key."""

    async def read() -> dict[str, str]:
        async with get_client() as client:
            found = await client.read_artifacts(limit=200)
            return {one.key: str(one.data) for one in sorted(found, key=lambda one: one.created)}

    return asyncio.run(read())


def test_the_flow_makes_what_plain_production_makes_and_a_second_run_nothing(
    prefect_server, tiny_world, plain, tmp_path
):
    out = tmp_path / "a.zarr"
    began = time.monotonic()
    result = generate_dataset(**orders(tiny_world, str(out)))
    seconds = time.monotonic() - began
    shards = -(-COUNT // SHARD)
    assert (result.count, result.kept, result.shards_made) == (COUNT, 180, shards)
    assert open_store(str(out)).spec == plain[0].spec
    assert same(open_store(str(out)), plain[0])
    print(f"overhead {seconds - plain[1]:.1f} s for {shards} shards")
    assert seconds - plain[1] < 20 + 0.05 * shards
    left = artifacts()
    assert {"progress", "partitions", "shards", "contact-sheet", "store", "dataset"} <= set(left)
    assert f"{shards} of {shards} shards done; finished" in left["partitions"]
    assert f"| 0-{shards - 1} | done | |" in left["partitions"].replace("  ", " ")
    assert left["contact-sheet"].startswith("data:image/jpeg;base64,")
    assert len(left["contact-sheet"]) < 1_000_000
    assert float(left["progress"]) == 100
    assert Path(str(result.contact_sheet)).stat().st_size > 1000
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*/c/*")}
    assert generate_dataset(**orders(tiny_world, str(out))).shards_made == 0
    assert before == {path: path.stat().st_mtime_ns for path in out.rglob("*/c/*")}


def test_the_verification_tells_of_every_shard(prefect_server, tmp_path):
    fill(create_store(str(tmp_path / "set"), make_spec(count=40, shard_size=4)))
    assert verify_dataset(store=str(tmp_path / "set")).shards == 10
    assert "| 0-9 | as committed |" in artifacts()["partitions"]
    (tmp_path / "set/image/c/3/0/0/0").write_bytes(b"")
    with pytest.raises(WorkError, match="mend it: factory verify --repair"):
        verify_dataset(store=str(tmp_path / "set"))
    told = artifacts()["partitions"]
    assert "10 of 10 shards looked at, 1 damaged" in told
    assert "| 3 | damaged | image/c/3/0/0/0: has 0 bytes" in told
    assert "| 4-9 | as committed |" in told


def test_wrong_input_is_one_line_and_not_tried_again(prefect_server, tiny_world, tmp_path, caplog):
    out = tmp_path / "wrong.zarr"
    began = time.monotonic()
    with pytest.raises(InputError, match="no such bundled model"), caplog.at_level(logging.INFO):
        generate_dataset(generator="builtin:unheard-of", labels="builtin:unheard-of", out=str(out))
    assert time.monotonic() - began < 10
    assert "Traceback" not in caplog.text
    assert not out.exists()


def test_parameters_are_checked_before_anything_runs(prefect_server, tmp_path):
    from prefect.exceptions import ParameterTypeError

    with pytest.raises(ParameterTypeError, match="count"):
        generate_dataset(out=str(tmp_path / "a.zarr"), count=0)


def test_a_failed_run_says_why_and_how_to_go_on(prefect_server, tiny_world, tmp_path):
    out = tmp_path / "broken.zarr"
    given = orders(tiny_world, str(out))
    with open_output(prepare(Order(**given), progress=False)):
        (out / "image" / "c").write_text("a file where a folder has to be")
    with pytest.raises(WorkError, match=r"image/c.*to resume: run the same command again"):
        generate_dataset(**given, execution=Execution(retries=0))
    failed = status(str(out)).failed
    assert failed
    assert all("image/c" in note.error and note.pid == os.getpid() and note.run for note in failed.values())
    assert "| failed |" in artifacts()["partitions"]
    (out / "image" / "c").unlink()
    assert generate_dataset(**given, shards="failed").shards_made == len(failed)
    assert status(str(out)).failed == {}
    assert generate_dataset(**given).count == COUNT


def test_a_backfill_by_the_flow_finishes_when_all_is_there(prefect_server, tiny_world, plain, tmp_path, caplog):
    out = str(tmp_path / "a.zarr")
    with caplog.at_level(logging.INFO):
        result = generate_dataset(**orders(tiny_world, out), shards="10:13,2")
    assert (result.shards_made, result.kept, result.contact_sheet) == (4, None, None)
    assert "not finished, 9 of 13 shards are missing (0-1, 3-9)" in caplog.text
    left = artifacts()["partitions"]
    assert "4 of 13 shards done, 9 missing; not finished" in left
    assert "| 3-9 | missing |" in left
    result = generate_dataset(**orders(tiny_world, out), shards="missing")
    assert (result.shards_made, result.kept) == (9, 180)
    assert same(open_store(out), plain[0])


def test_the_artifact_follows_a_run(prefect_server, tmp_path, monkeypatch):
    monkeypatch.setattr("labelfactory.flows.partitions.PAUSE_S", 0.05)
    rows = [(0, 9, "missing", "")]

    @flow
    def making() -> None:
        with Partitions("a.zarr", lambda: (f"{len(rows)} rows", rows)):
            rows.insert(0, (0, 0, "failed", "a | b\nc"))
            deadline = time.monotonic() + 20
            while "2 rows" not in artifacts()["partitions"]:
                assert time.monotonic() < deadline
                time.sleep(0.1)
            rows[:] = [(shard, shard, "done", "") for shard in range(103)]

    making()
    told = artifacts()["partitions"]
    assert told.startswith("103 rows")
    assert "3 more rows: `factory status --json a.zarr`" in told


def test_processes_make_the_same_store(prefect_server, tiny_world, plain, tmp_path):
    out = str(tmp_path / "processes.zarr")
    execution = Execution(runner="processes", workers=2, shards_per_task=3)
    result = generate_dataset(**orders(tiny_world, out), execution=execution)
    assert result.shards_made == plain[0].num_shards
    assert same(open_store(out), plain[0])


@pytest.fixture(scope="module")
def s3(tmp_path_factory) -> Iterator[str]:
    """A bucket on a real S3 server (moto's), known to every child process by the environment."""
    from moto.server import ThreadedMotoServer

    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        for name, value in (("ACCESS_KEY_ID", "key"), ("SECRET_ACCESS_KEY", "secret"), ("DEFAULT_REGION", "us-east-1")):
            patch.setenv(f"AWS_{name}", value)
        import s3fs

        s3fs.S3FileSystem().mkdir("factory")
        yield "s3://factory"
    moto.stop()


@pytest.mark.parametrize("runner", ["dask", pytest.param("ray", marks=pytest.mark.long)])
def test_two_workers_of_a_cluster_write_one_store_on_s3(
    prefect_server, tiny_world, plain, s3, tmp_path, runner, monkeypatch
):
    if importlib.util.find_spec(f"prefect_{runner}") is None:  # importing Ray here would be too early
        pytest.skip(f"pip install 'labelfactory[{runner}]'")
    monkeypatch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    out = f"{s3}/{runner}.zarr"
    with watched_sockets() as seen:
        result = generate_dataset(**orders(tiny_world, out), execution=Execution(runner=runner, workers=2))
    assert len(seen) > 3  # those of the cluster beside the two servers of this test
    assert [address for address in seen if not is_loopback(address)] == []
    assert (result.count, result.shards_made) == (COUNT, plain[0].num_shards)
    assert same(open_store(out), plain[0])
    assert result.contact_sheet == f"{s3}/{runner}_contact_sheet.png"


def test_a_worker_without_the_interpreter_takes_the_stores_copy(tiny_world, tmp_path, monkeypatch):
    out = str(tmp_path / "a.zarr")
    job = prepare(Order(**orders(tiny_world, out)), cache=tmp_path / "cache-of-the-first-machine", progress=False)
    open_output(job).close()
    os.rename(tmp_path / "cache-of-the-first-machine", tmp_path / "gone")
    monkeypatch.setenv("LABELFACTORY_CACHE", str(tmp_path / "cache-of-the-second-machine"))
    forget_models()  # as in another process
    make_shards(job, [0])
    assert open_store(out).record(0).stop == SHARD
    copy = tmp_path / "cache-of-the-second-machine" / "interpreters" / f"{job.spec.interpreter_sha256}.safetensors"
    assert copy.read_bytes() == next((tmp_path / "gone" / "interpreters").iterdir()).read_bytes()


def test_a_damaged_copy_is_refused_and_put_back(tiny_world, tmp_path, monkeypatch):
    out = tmp_path / "a.zarr"
    job = prepare(Order(**orders(tiny_world, str(out))), cache=tmp_path / "first", progress=False)
    open_output(job).close()
    kept = out / model_path("interpreter", job.spec.interpreter_sha256)
    sound = kept.read_bytes()
    kept.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
    os.rename(tmp_path / "first", tmp_path / "gone")
    monkeypatch.setenv("LABELFACTORY_CACHE", str(tmp_path / "second"))
    forget_models()
    with pytest.raises(WorkError, match="is damaged"):
        make_shards(job, [0])
    os.rename(tmp_path / "gone", tmp_path / "first")
    open_output(job).close()
    assert kept.read_bytes() == sound


def test_parameters_have_descriptions_in_the_form():
    form = parameter_schema(generate_dataset.fn).model_dump()["properties"]
    assert {"generator", "out", "count", "seed", "execution"} <= set(form)
    assert [name for name, entry in form.items() if not entry.get("description")] == []
    assert form["count"]["minimum"] == 1
