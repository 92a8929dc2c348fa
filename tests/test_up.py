"""``factory up``: from an empty home to a finished run and down again, all with real processes."""

import importlib.metadata
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from running_factory import RunningFactory, free_port, wait_for

from storage import open_dataset, open_store

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


def test_from_an_empty_home_to_a_finished_run_and_down(tiny_world, tmp_path):
    factory = RunningFactory(tmp_path, make_workspace(tiny_world, tmp_path))
    try:
        factory.wait_until_up()
        told = order(factory, "a.zarr", 100, "--watch")
        assert "Flow run finished successfully" in told
        dataset = open_dataset(str(factory.workspace / "a.zarr"))
        assert (dataset.spec.count, dataset.manifest.kept) == (100, 90)

        wrong = subprocess.run(
            [sys.executable, "-m", "prefect", "deployment", "run", "generate-dataset", "--param", "count=0"],
            env=factory.environment,
            capture_output=True,
            text=True,
        )
        assert wrong.returncode == 1  # refused before anything runs
        assert "count" in wrong.stdout + wrong.stderr

        # A run that is under way when everything is told to stop does not stay behind.
        order(factory, "b.zarr", 100_000)
        wait_for("its first shard", 90, lambda: list(factory.workspace.glob("b.zarr/_commits/*.json")))
    finally:
        seconds = factory.stop()
    assert "nothing is left running" in factory.log
    assert factory.process.returncode == 0
    assert seconds < 60
    assert "Traceback" not in factory.log


def test_a_port_that_is_taken_is_told_in_one_line(tmp_path):
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-m", "flows.cli", "up", "--port", str(port), "--workspace", str(tmp_path / "w")],
            env={**os.environ, "PREFECT_HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert f"port {port} of 127.0.0.1 is taken" in done.stderr


@pytest.fixture(params=["sqlite", "postgresql"], scope="module")
def factory(request, tiny_world, tmp_path_factory) -> Iterator[RunningFactory]:
    folder = tmp_path_factory.mktemp(request.param)
    environment = {}
    if request.param == "postgresql":
        environment["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = request.getfixturevalue("postgresql")
    running = RunningFactory(folder, make_workspace(tiny_world, folder), **environment)
    try:
        running.wait_until_up()
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="module")
def postgresql() -> Iterator[str]:
    """A PostgreSQL server of Debian's package, on a port of its own."""
    # Not below pytest's own folder: only root may enter that, and the server must not be root.
    with tempfile.TemporaryDirectory(prefix="factory-postgresql-") as folder:
        yield from serve_postgresql(Path(folder))


def serve_postgresql(folder: Path) -> Iterator[str]:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    port, as_user = free_port(), []
    if os.getuid() == 0:  # it refuses to run as root
        as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"]
        shutil.chown(folder, "postgres")
    data, programs = folder / "data", found[-1].parent
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder}"

    def run(program: str, *arguments: str) -> None:
        subprocess.run(
            [*as_user, str(programs / program), *arguments], check=True, cwd=folder, stdout=subprocess.DEVNULL
        )

    run("initdb", "-D", str(data), "-A", "trust", "-U", "prefect")
    run("pg_ctl", "-D", str(data), "-l", str(folder / "log"), "-w", "-o", options, "start")
    try:
        run("createdb", "-h", "127.0.0.1", "-p", str(port), "-U", "prefect", "prefect")
        yield f"postgresql+asyncpg://prefect@127.0.0.1:{port}/prefect"
    finally:
        run("pg_ctl", "-D", str(data), "-m", "fast", "-w", "stop")


@long
def test_a_cron_schedule_fires_within_its_minute(factory):
    name = "generate-dataset/generate-dataset"
    parameters = '{"generator":"tiny.safetensors","labels":"labels","out":"cron.zarr","count":20}'
    factory.prefect("deployment", "schedule", "clear", "--accept-yes", name)
    factory.prefect("deployment", "schedule", "create", name, "--cron", "* * * * *")
    deployment = factory.ask("/deployments/filter", {"deployments": {"name": {"any_": ["generate-dataset"]}}})[0]
    import json
    import urllib.request

    change = urllib.request.Request(
        f"{factory.api}/deployments/{deployment['id']}",
        json.dumps({"parameters": json.loads(parameters)}).encode(),
        {"Content-Type": "application/json"},
        method="PATCH",
    )
    urllib.request.urlopen(change).close()
    try:
        run = wait_for(
            "a scheduled run",
            150,
            lambda: next((r for r in factory.runs() if r["auto_scheduled"] and r["start_time"]), None),
        )
        late = datetime.fromisoformat(run["start_time"]) - datetime.fromisoformat(run["expected_start_time"])
        print(f"started {late.total_seconds():.1f} s after its minute began")
        assert 0 <= late.total_seconds() < 60
        wait_for("its store", 90, lambda: (factory.workspace / "cron.zarr" / "manifest.json").exists())
    finally:
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
    wait_for("CRASHED", 120, lambda: factory.state(out) == "CRASHED")
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
