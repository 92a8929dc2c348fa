"""Runs whose process is gone without a word: the server hears of it from us, within seconds.

A process that is killed cannot say so, and its worker's word is lost where worker, server or database die with it. The
server itself notices after ``ZOMBIE_S`` that heartbeats have stopped; for runs of this machine we need not wait.
"""

import json
import logging
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labelfactory.flows.server import POOL
from labelfactory.flows.supervision import signal_all
from labelfactory.whole_files import whole_file

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun

LOOK_S = 1.0  # between two looks at the processes; one takes longer than this to become a run
ASK_S = 5.0  # between two questions to the server
GONE_S = 10.0  # a process that is gone for so long has said all that it could say
UNSTARTED_S = 30.0  # a worker that has taken a run starts its process within moments
OPEN = ("RUNNING", "PENDING", "CANCELLING")
MESSAGE = "The process of this run is gone without a word (killed?). What is committed stays; run it again to resume."


def run_processes() -> dict[str, dict[int, int]]:
    """Living processes of this user by the flow run that they belong to: process id -> that of its parent (Linux)."""
    found: dict[str, dict[int, int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            variables = (entry / "environ").read_bytes().split(b"\0")
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError, ValueError):
            continue
        for variable in variables:
            name, _, run = variable.partition(b"=")
            if name == b"PREFECT__FLOW_RUN_ID" and run:
                found.setdefault(run.decode(), {})[int(entry.name)] = parent
    return found


@dataclass
class LostRuns:
    """Remembers which process each run has had on this machine, in ``note`` also beyond our own death.

    processes   process of each run: the one that started the others
    gone        since when (monotonic seconds) a run that the server calls open has no process
    """

    note: Path
    tell: Callable[[str], Any]
    processes: dict[str, int] = field(default_factory=dict)
    gone: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        try:
            self.processes = {str(run): int(pid) for run, pid in json.loads(self.note.read_text()).items()}
        except (OSError, ValueError, AttributeError, TypeError):
            self.processes = {}

    def watch_forever(self, api_url: str) -> threading.Thread:
        """In a thread of its own, for as long as this process lives: the server may be away for minutes."""
        thread = threading.Thread(target=self._watch, args=(api_url,), name="lost runs", daemon=True)
        thread.start()
        return thread

    def _watch(self, api_url: str) -> None:
        from prefect.client.orchestration import get_client
        from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

        asked = 0.0
        with temporary_settings({PREFECT_API_URL: api_url, PREFECT_CLIENT_MAX_RETRIES: 0}):
            while True:
                living = self.look()
                if time.monotonic() - asked >= ASK_S:
                    try:
                        with get_client(sync_client=True) as client:
                            self.settle(client, living)
                    except Exception as error:  # the server is away, in whatever way; the next turn asks again
                        logging.getLogger(__name__).debug("not asked for open runs: %r", error)
                    asked = time.monotonic()
                time.sleep(LOOK_S)

    def look(self) -> dict[str, dict[int, int]]:
        """Notes which processes there are; gives those of each run whose own process lives."""
        found, before = run_processes(), dict(self.processes)
        for run, parents in found.items():
            if run not in self.processes:
                self.processes[run] = next((pid for pid, parent in parents.items() if parent not in parents), 0)
        if self.processes != before:
            self._save()
        return {run: parents for run, parents in found.items() if self.processes[run] in parents}

    def settle(self, client: "SyncPrefectClient", living: dict[str, dict[int, int]]) -> list[str]:
        """Asks for open runs and says of those that are lost that they have crashed; gives their ids."""
        runs = {str(run.id): run for run in _open_runs(client)}
        now, lost = time.monotonic(), []
        self.gone = {run: self.gone.get(run, now) for run in runs if run not in living}
        for run, since in self.gone.items():
            if now - since >= self._patience(runs[run]):
                _crash(client, runs[run])
                self._end_rest(run)
                self.tell(f"run {runs[run].name}: its process is gone; it is CRASHED now")
                lost.append(run)
        known = {run: pid for run, pid in self.processes.items() if run in runs or run in living}
        if known != self.processes:
            self.processes = known
            self._save()
        return lost

    def _patience(self, run: "FlowRun") -> float:
        """Seconds that an open run may be without a process; for ever where its process may be on another machine."""
        if str(run.id) in self.processes:
            return GONE_S
        started = run.infrastructure_pid is not None or run.state_type is None or run.state_type.value != "PENDING"
        return float("inf") if started else UNSTARTED_S

    def _end_rest(self, run: str) -> None:
        """Helpers of a run that has lost its own process have nobody left to work for."""
        signal_all(list(run_processes().get(run, {})), signal.SIGTERM)

    def _save(self) -> None:
        self.note.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(self.note, durable=False) as file:
            file.write(json.dumps(self.processes).encode())


def _open_runs(client: "SyncPrefectClient") -> "list[FlowRun]":
    from prefect.client.schemas.filters import (
        FlowRunFilter,
        FlowRunFilterState,
        FlowRunFilterStateType,
        WorkPoolFilter,
        WorkPoolFilterName,
    )
    from prefect.client.schemas.objects import StateType

    state = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType(name) for name in OPEN]))
    pool = WorkPoolFilter(name=WorkPoolFilterName(any_=[POOL]))
    return list(client.read_flow_runs(flow_run_filter=FlowRunFilter(state=state), work_pool_filter=pool, limit=200))


def _crash(client: "SyncPrefectClient", run: "FlowRun") -> None:
    """Says so of the run and of its tasks that are open."""
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId, TaskRunFilter, TaskRunFilterState
    from prefect.client.schemas.filters import TaskRunFilterStateType as Types
    from prefect.client.schemas.objects import StateType
    from prefect.states import Crashed

    state = TaskRunFilterState(type=Types(any_=[StateType("RUNNING"), StateType("PENDING")]))
    tasks = client.read_task_runs(
        flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[run.id])), task_run_filter=TaskRunFilter(state=state)
    )
    for task in tasks:
        client.set_task_run_state(task.id, Crashed(message=MESSAGE), force=True)
    client.set_flow_run_state(run.id, Crashed(message=MESSAGE), force=True)
