"""Runs that died without a word are said to have crashed, and nobody else's are."""

import os
import signal
import socket
import subprocess
import sys
import time
import uuid

import pytest

from labelfactory.flows import lost_runs
from labelfactory.flows.lost_runs import LostRuns, run_processes
from labelfactory.flows.server import POOL

# Waits, with a helper that inherits its environment, as the processes of a pool do.
FAMILY = """
import subprocess, sys, time
below = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(below.pid, flush=True)
time.sleep(600)
"""


def start(run: str) -> tuple[subprocess.Popen[bytes], int]:
    process = subprocess.Popen(
        [sys.executable, "-c", FAMILY], env={**os.environ, "PREFECT__FLOW_RUN_ID": run}, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    with process.stdout as said:
        return process, int(said.readline())


def kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def test_a_process_is_known_by_its_run_even_to_the_next_factory(tmp_path):
    run = str(uuid.uuid4())
    process, helper = start(run)
    try:
        assert run_processes()[run].keys() == {process.pid, helper}
        assert run in LostRuns(tmp_path / "runs.json", print).look()
        process.kill()
        process.wait()
        watch = LostRuns(tmp_path / "runs.json", print)  # after a restart
        assert run not in watch.look()  # its helper alone is not the run
        assert watch.processes[run] == process.pid
    finally:
        kill(process.pid)
        kill(helper)
        process.wait()
    (tmp_path / "runs.json").write_text("[1")
    assert LostRuns(tmp_path / "runs.json", print).processes == {}


def test_the_server_hears_of_killed_runs_and_of_no_others(prefect_server, tmp_path, monkeypatch):
    from prefect import flow
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.client.schemas.objects import TaskRun
    from prefect.states import Pending, Running

    @flow
    def anything() -> None:
        return

    told: list[str] = []
    watch = LostRuns(tmp_path / "runs.json", told.append)
    with get_client(sync_client=True) as client:
        client.request("POST", "/work_pools/", json=WorkPoolCreate(name=POOL, type="process").model_dump(mode="json"))

        def begun(state):
            made = client.create_flow_run(anything, state=Pending(), work_pool_name=POOL)
            client.set_flow_run_state(made.id, state, force=True)
            return str(made.id)

        def state(run):
            return client.read_flow_run(run).state_type.value

        killed, alive, elsewhere, taken = begun(Running()), begun(Running()), begun(Running()), begun(Pending())
        task = TaskRun.model_validate(
            client.request(
                "POST",
                "/task_runs/",
                json={"flow_run_id": killed, "task_key": "a", "dynamic_key": "0", "state": {"type": "RUNNING"}},
            ).json()
        )
        (first, helper), (second, other) = start(killed), start(alive)
        try:
            watch.look()
            first.kill()
            first.wait()
            assert watch.settle(client, watch.look()) == []  # it may still say so itself
            monkeypatch.setattr(lost_runs, "GONE_S", 0.0)
            assert watch.settle(client, watch.look()) == [killed]
            assert state(killed) == "CRASHED"
            assert client.read_task_run(task.id).state_type.value == "CRASHED"
            assert "its process is gone" in told[0]
            deadline = time.monotonic() + 20
            while helper in run_processes().get(killed, {}):
                assert time.monotonic() < deadline
                time.sleep(0.1)
            assert (state(alive), state(elsewhere), state(taken)) == ("RUNNING", "RUNNING", "PENDING")
            monkeypatch.setattr(lost_runs, "UNSTARTED_S", 0.0)
            assert watch.settle(client, watch.look()) == [taken]  # its worker died before it had started a process
            assert (state(alive), state(elsewhere)) == ("RUNNING", "RUNNING")
            for worker in (f"{socket.gethostname()}-0", "another-machine-0"):
                client.request("POST", f"/work_pools/{POOL}/workers/heartbeat", json={"name": worker})
            assert watch.settle(client, watch.look()) == []  # the other machine's, perhaps
            client.request("DELETE", f"/work_pools/{POOL}/workers/another-machine-0")
            assert watch.settle(client, watch.look()) == [elsewhere]  # killed before anybody had looked
            assert (state(alive), state(elsewhere)) == ("RUNNING", "CRASHED")
        finally:
            for pid in (first.pid, second.pid, helper, other):
                kill(pid)
            first.wait()
            second.wait()


@pytest.mark.parametrize("content", [b"", b"A=1", b"PREFECT__FLOW_RUN_ID=\0B=2"])
def test_other_processes_are_of_no_run(content):
    name, _, run = content.split(b"\0")[0].partition(b"=")
    process = subprocess.Popen([sys.executable, "-c", "input()"], env={name.decode() or "X": run.decode()}, stdin=-1)
    try:
        assert not any(process.pid in pids for pids in run_processes().values())
    finally:
        process.kill()
        process.communicate()
