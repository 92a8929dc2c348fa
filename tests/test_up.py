"""``factory up``: from an empty home to a finished run and down again, all with real processes."""

import importlib.metadata
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path

import pytest
from listening import is_loopback, listening
from running_factory import RunningFactory, wait_for
from running_postgresql import running_postgresql
from training_world import blobs

from labelfactory.storage import open_dataset, open_store

pytestmark = pytest.mark.skipif(
    not importlib.metadata.entry_points(group="prefect.plugins", name="labelfactory"),
    reason="the package is not installed (pip install -e .), so Prefect does not find its plugin",
)
long = pytest.mark.skipif(
    not os.environ.get("LABELFACTORY_LONG_TESTS"), reason="takes minutes; LABELFACTORY_LONG_TESTS=1 runs it"
)


def make_workspace(tiny_world, folder: Path) -> Path:
    workspace = folder / "workspace"
    workspace.mkdir()
    shutil.copy(tiny_world.checkpoint, workspace / "tiny.safetensors")
    shutil.copytree(tiny_world.labels, workspace / "labels")
    return workspace


def order(factory: RunningFactory, out: str, count: int, *more: str) -> str:
    """``prefect deployment run generate-dataset``, as typed."""
    given = {"generator": "tiny.safetensors", "labels": "labels", "out": out, "count": count, "shard_size": 16}
    parameters = [part for name, value in given.items() for part in ("--param", f"{name}={value}")]
    return factory.prefect("deployment", "run", "generate-dataset", *parameters, *more)


DATABASES = ["sqlite", "postgresql"]


@contextmanager
def started(database: str, tiny_world, folder: Path) -> Iterator[RunningFactory]:
    """``factory up`` in an empty home, with the database that is named; SIGTERM ends it."""
    with ExitStack() as stack:
        environment = {}
        if database == "postgresql":
            environment["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = stack.enter_context(running_postgresql()).url
        factory = RunningFactory(folder, make_workspace(tiny_world, folder), **environment)
        try:
            factory.wait_until_up()
            yield factory
        finally:
            seconds = factory.stop()
        assert "nothing is left running" in factory.log
        assert factory.process.returncode == 0
        assert seconds < 60


@pytest.mark.parametrize("database", DATABASES)
def test_from_an_empty_home_to_a_finished_run_and_down(database, tiny_world, tmp_path):
    with started(database, tiny_world, tmp_path) as factory:
        began = time.monotonic()
        told = order(factory, "a.zarr", 100, "--watch")
        print(f"{database}: the typed run of 100 pairs took {time.monotonic() - began:.1f} s")
        assert "Flow run finished successfully" in told
        dataset = open_dataset(str(factory.workspace / "a.zarr"))
        assert (dataset.spec.count, dataset.manifest.kept) == (100, 90)
        assert factory.runs()[0]["state_type"] == "COMPLETED"
        if database == "sqlite":  # what does not concern the database, once
            refuses_before_anything_runs(factory)
            # A run that is under way when everything is told to stop does not stay behind.
            order(factory, "b.zarr", 100_000)
            wait_for("its first shard", 90, lambda: list(factory.workspace.glob("b.zarr/_commits/*.json")))
        addresses = listening(factory.process.pid)
        assert any(address.endswith(f":{factory.port}") for address in addresses)
        assert [address for address in addresses if not is_loopback(address)] == []
    assert "Traceback" not in factory.log


def refuses_before_anything_runs(factory: RunningFactory) -> None:
    wrong = subprocess.run(
        [sys.executable, "-m", "prefect", "deployment", "run", "generate-dataset", "--param", "count=0"],
        env=factory.environment,
        capture_output=True,
        text=True,
    )
    assert wrong.returncode == 1
    assert "count" in wrong.stdout + wrong.stderr


def test_a_port_that_is_taken_is_told_in_one_line(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "labelfactory",
                "up",
                "--port",
                str(port),
                "--workspace",
                str(tmp_path / "w"),
            ],
            env={**os.environ, "PREFECT_HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert f"port {port} of 127.0.0.1 is taken" in done.stderr


@pytest.fixture(params=DATABASES, scope="module")
def factory(request, tiny_world, tmp_path_factory) -> Iterator[RunningFactory]:
    with started(request.param, tiny_world, tmp_path_factory.mktemp(request.param)) as running:
        yield running


@long
def test_a_cron_schedule_fires_within_its_minute(factory):
    name = "generate-dataset/generate-dataset"
    factory.prefect("deployment", "schedule", "clear", "--accept-yes", name)
    factory.prefect("deployment", "schedule", "create", name, "--cron", "* * * * *")
    deployment = factory.ask("/deployments/filter", {"deployments": {"name": {"any_": ["generate-dataset"]}}})[0]
    parameters = {"generator": "tiny.safetensors", "labels": "labels", "out": "cron.zarr", "count": 20}
    factory.ask(f"/deployments/{deployment['id']}", {"parameters": parameters}, method="PATCH")
    before = deployment["parameters"]
    try:
        run = wait_for(
            "a scheduled run",
            150,
            lambda: next((r for r in factory.runs() if r["auto_scheduled"] and r["start_time"]), None),
        )
        late = datetime.fromisoformat(run["start_time"]) - datetime.fromisoformat(run["expected_start_time"])
        print(f"started {late.total_seconds():.1f} s after its minute began")
        assert -1 < late.total_seconds() < 60  # Prefect prepares the process ahead and may begin 0.1 s early
        wait_for("its store", 90, lambda: (factory.workspace / "cron.zarr" / "manifest.json").exists())
    finally:
        factory.ask(f"/deployments/{deployment['id']}", {"parameters": before}, method="PATCH")
        factory.prefect("deployment", "schedule", "clear", "--accept-yes", name)


@long
@pytest.mark.parametrize("victims", ["flow", "worker", "both"])
def test_killed_processes_cost_time_only(factory, victims):
    out = f"killed-{victims}.zarr"
    order(factory, out, 3000)
    commits = factory.workspace / out / "_commits"
    wait_for("its first shards", 120, lambda: commits.is_dir() and len(list(commits.iterdir())) > 3)
    flows = factory.processes("prefect.engine") or factory.processes("prefect.flow_engine")
    workers = factory.processes("worker start")
    assert flows
    assert workers
    chosen = {"flow": flows, "worker": workers, "both": workers + flows}[victims]
    for pid in chosen:
        os.kill(pid, signal.SIGKILL)
    began = time.monotonic()
    wait_for("CRASHED", 60, lambda: factory.state(out) == "CRASHED")
    print(
        f"{victims} killed: CRASHED after {time.monotonic() - began:.1f} s, {len(list(commits.iterdir()))} shards there"
    )
    before = {path.name: path.read_bytes() for path in commits.iterdir()}
    order(factory, out, 3000, "--watch")
    store = open_store(str(factory.workspace / out))
    assert store.manifest() is not None
    assert store.missing() == []
    assert all((commits / name).read_bytes() == data for name, data in before.items())


@long
def test_the_other_deployments_work_as_typed(factory):
    """Each once, with what the one before it made; what is not given comes from prefect.yaml."""

    def typed(name: str, **parameters: object) -> None:
        given = [part for key, value in parameters.items() for part in ("--param", f"{key}={value}")]
        began = time.monotonic()
        told = factory.prefect("deployment", "run", name, *given, "--watch")
        assert "Flow run finished successfully" in told
        print(f"{name}: {time.monotonic() - began:.1f} s")

    there = factory.workspace
    blobs(there / "images", count=40, size=16, channels=1)
    typed("train-interpreter", generator="tiny.safetensors", labels="labels", out="own.safetensors", members=2)
    given = {"generator": "tiny.safetensors", "interpreter": "own.safetensors", "count": 64, "instances": "true"}
    typed("generate-dataset", **given, out="by-own.zarr")
    assert open_store(str(there / "by-own.zarr")).spec.by_role("objects")
    typed("verify-dataset", store="by-own.zarr")
    typed("export-dataset", store="by-own.zarr", format="png", out="by-own-png", all="true")
    assert len(list(there.glob("by-own-png/masks/*.png"))) == 64
    typed(
        "evaluate-dataset",
        pairs='["by-own.zarr"]',
        images="by-own-png",
        out="evaluation",
        steps=4,
        batch_size=8,
    )
    assert (there / "evaluation" / "segmenter.safetensors").is_file()
    typed("train-generator", data="images", out="run", preset="tiny", kimg=0.064)
    assert (there / "run" / "generator.safetensors").is_file()


@long
def test_a_deployed_run_stays_in_its_workspace(factory, tmp_path):
    order(factory, str(tmp_path / "elsewhere.zarr"), 10)
    wait_for("the refusal", 120, lambda: factory.state("elsewhere.zarr") == "FAILED")
    message = next(run["state"]["message"] for run in factory.runs() if "elsewhere" in str(run["parameters"]))
    assert "LABELFACTORY_ALLOW" in message
    assert not (tmp_path / "elsewhere.zarr").exists()


@long
def test_cancelling_stops_within_a_shard(factory):
    order(factory, "cancelled.zarr", 100_000)
    commits = factory.workspace / "cancelled.zarr" / "_commits"
    wait_for("its first shard", 120, lambda: commits.is_dir() and list(commits.iterdir()))
    run = next(run for run in factory.runs() if "cancelled.zarr" in str(run["parameters"]))
    factory.prefect("flow-run", "cancel", run["id"])
    began = time.monotonic()
    wait_for("CANCELLED", 90, lambda: factory.state("cancelled.zarr") == "CANCELLED")
    print(f"cancelled after {time.monotonic() - began:.1f} s")
    done = len(list(commits.iterdir()))
    time.sleep(3)
    assert len(list(commits.iterdir())) == done
