"""Runs whose process is gone without a word: the server hears of it from us, within seconds.

A process that is killed cannot say so, and its worker's word is lost where worker, server or database die with it. The
server itself notices after ``ZOMBIE_S`` that heartbeats have stopped; for runs of this machine we need not wait.
"""

import json
import logging
import re
import signal
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
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
UNSTARTED_S = 20.0  # a worker that has taken a run starts its process within moments
FORGOTTEN = timedelta(hours=1)  # a worker that has been silent for so long is none any more
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

    Looking and asking have a thread each: while the server is away, an answer may take longer than some process lives.
    """

    note: Path
    tell: Callable[[str], Any]
    processes: dict[str, int] = field(default_factory=dict)
    gone: dict[str, float] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock, repr=False)

    def __post_init__(self) -> None:
        try:
            self.processes = {str(run): int(pid) for run, pid in json.loads(self.note.read_text()).items()}
        except (OSError, ValueError, AttributeError, TypeError):
            self.processes = {}

    def watch_forever(self, api_url: str) -> None:
        """In threads of its own, for as long as this process lives: the server may be away for minutes."""
        for target, arguments in ((self._look_forever, ()), (self._ask_forever, (api_url,))):
            threading.Thread(target=target, args=arguments, name="lost runs", daemon=True).start()

    def _look_forever(self) -> None:
        while True:
            self.look()
            time.sleep(LOOK_S)

    def _ask_forever(self, api_url: str) -> None:
        from prefect.client.orchestration import get_client
        from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

        with temporary_settings({PREFECT_API_URL: api_url, PREFECT_CLIENT_MAX_RETRIES: 0}):
            while True:
                pause = ASK_S
                try:
                    with get_client(sync_client=True) as client:
                        self.settle(client, self.look())
                except Exception as error:  # the server is away, in whatever way
                    logging.getLogger(__name__).debug("not asked for open runs: %r", error)
                    pause = LOOK_S
                time.sleep(pause)

    def look(self) -> dict[str, dict[int, int]]:
        """Notes which processes there are; gives those of each run whose own process lives."""
        with self._lock:
            found, before = run_processes(), dict(self.processes)
            for run, parents in found.items():
                if run not in self.processes:
                    self.processes[run] = next((pid for pid, parent in parents.items() if parent not in parents), 0)
            if self.processes != before:
                self._save()
            return {run: parents for run, parents in found.items() if self.processes[run] in parents}

    def settle(self, client: "SyncPrefectClient", living: dict[str, dict[int, int]]) -> list[str]:
        """Asks for open runs and says of those that are lost that they have crashed; gives their ids."""
        with self._lock:
            known = set(self.processes)
        runs, ours = {str(run.id): run for run in _open_runs(client)}, _only_our_workers(client)
        now, lost = time.monotonic(), []
        self.gone = {run: self.gone.get(run, now) for run in runs if run not in living}
        for run, since in self.gone.items():
            if now - since >= self._patience(runs[run], ours):
                _crash(client, runs[run])
                self._end_rest(run)
                self.tell(f"run {runs[run].name}: its process is gone; it is CRASHED now")
                lost.append(run)
        with self._lock:
            over = known - runs.keys() - living.keys()
            for run in over:
                del self.processes[run]
            if over:
                self._save()
        return lost

    def _patience(self, run: "FlowRun", only_ours: bool) -> float:
        """Seconds that an open run may be without a process; for ever where its process may be on another machine."""
        if str(run.id) in self.processes:
            return GONE_S
        if only_ours:  # its process was gone before anybody had looked
            return UNSTARTED_S
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


def _only_our_workers(client: "SyncPrefectClient") -> bool:
    """Whether all workers of the pool are of this machine, by the names that ``factory up`` gives.

    Those that have been silent for ``FORGOTTEN`` do not count; after the server was away, all are offline for a moment.
    """
    heard = [(worker.name, worker.last_heartbeat_time) for worker in client.read_workers_for_work_pool(POOL)]
    names = [name for name, last in heard if last is not None and datetime.now(UTC) - last < FORGOTTEN]
    return bool(names) and all(re.fullmatch(rf"{re.escape(socket.gethostname())}-\d+", name) for name in names)


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
