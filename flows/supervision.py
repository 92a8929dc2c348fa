"""Child processes that are started in order, restarted when they die, and stopped without leaving anything behind."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from labelfactory.errors import WorkError

# More deaths than this within the window, each before it had lived for LIVED_S: something is wrong that a restart
# cannot mend. A child that has lived longer had started well, and was ended by somebody.
RESTARTS, WINDOW_S, LIVED_S = 5, 600.0, 20.0
GRACE_S = 30.0
PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> None:
    """Makes grandchildren whose parent dies ours, so that none can outlive us unseen (Linux; nothing elsewhere)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def descendants(pid: int) -> list[int]:
    """All living processes below ``pid``, nearest first (Linux; empty elsewhere)."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(entry.parent.name))
    found, level = list[int](), [pid]
    while level:
        level = [child for parent in level for child in children.get(parent, [])]
        found += level
    return found


def signal_all(pids: Sequence[int], number: signal.Signals) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


@dataclass
class Child:
    """One supervised process; what it says goes to the end of ``log``, or else where ours goes."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path | None = None
    process: subprocess.Popen[bytes] | None = None
    deaths: list[float] = field(default_factory=list)
    started: float = 0.0

    def start(self) -> None:
        self.started = time.monotonic()
        with ExitStack() as stack:
            # Opened for each start: it may come years after the first.
            log = stack.enter_context(self.log.open("ab")) if self.log else None
            # In a session of its own: a Ctrl-C in the terminal reaches us alone, and we stop the others in their order.
            self.process = subprocess.Popen(
                self.command,
                env=dict(self.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT if log else None,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def exit_code(self) -> int | None:
        return self.process.poll() if self.process else None


class Supervisor:
    """Children in the order of their start; they are stopped in the reverse order."""

    def __init__(self, tell: Callable[[str], Any], orphan_grace_s: float = 10.0) -> None:
        self.children: list[Child] = []
        self.orphan_grace_s = orphan_grace_s
        self._tell = tell
        self._below: dict[str, list[int]] = {}  # of each child when last seen alive
        adopt_orphans()

    def start(self, child: Child) -> None:
        child.start()
        self.children.append(child)

    def watch(self) -> None:
        """One look: the dead are started again; WorkError where one dies over and over."""
        for child in self.children:
            code = child.exit_code()
            if code is None:
                self._below[child.name] = descendants(child.pid)
                continue
            # What a dead worker was running has nobody left who could cancel it, and would share the device with
            # the next run: it is told to end, says CRASHED itself, and its shards stay.
            self._end([pid for pid in self._below.pop(child.name, []) if pid in descendants(os.getpid())])
            now = time.monotonic()
            early = [now] if now - child.started < LIVED_S else []
            child.deaths = [moment for moment in child.deaths if now - moment < WINDOW_S] + early
            if len(child.deaths) > RESTARTS:
                raise WorkError(
                    f"{child.name} died {len(child.deaths)} times in {WINDOW_S / 60:.0f} minutes; see its log"
                )
            self._tell(f"{child.name} died (exit code {code}); starting it again")
            child.start()
        self._reap()

    def stop(self) -> None:
        """Every child and everything below it is gone afterwards."""
        while self.children:
            child = self.children[-1]
            if child.exit_code() is None:
                below = descendants(child.pid)
                signal_all([child.pid], signal.SIGTERM)
                signal_all(below, signal.SIGTERM)  # a worker would wait for its runs
                try:
                    child.process and child.process.wait(GRACE_S)
                except subprocess.TimeoutExpired:
                    signal_all([child.pid], signal.SIGKILL)
                    child.process and child.process.wait()
            self.children.pop()
            keep = {other.pid for other in self.children}
            others = {pid for root in keep for pid in (root, *descendants(root))}
            self._end([pid for pid in descendants(os.getpid()) if pid not in others])

    def _end(self, pids: Sequence[int]) -> None:
        signal_all(pids, signal.SIGTERM)
        deadline = time.monotonic() + self.orphan_grace_s
        while set(pids) & set(descendants(os.getpid())):
            self._reap()
            if time.monotonic() > deadline:
                signal_all(pids, signal.SIGKILL)
            time.sleep(0.05)

    def _reap(self) -> None:
        """Takes leave of adopted processes that have ended."""
        own = {child.pid for child in self.children}
        for pid in descendants(os.getpid()):
            if pid not in own:
                try:
                    os.waitpid(pid, os.WNOHANG)
                except ChildProcessError:
                    continue
