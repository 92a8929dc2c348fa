"""Child processes: started again when they die, and nothing left when they are stopped."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from labelfactory.errors import WorkError
from labelfactory.flows.supervision import RESTARTS, Child, Supervisor, descendants

# A child that starts a grandchild deaf to SIGTERM, says who both are, and waits.
FAMILY = """
import os, pathlib, signal, subprocess, sys, time
deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(600)"
below = subprocess.Popen([sys.executable, "-c", deaf], start_new_session=True, stdout=subprocess.PIPE)
below.stdout.readline()
pathlib.Path(sys.argv[1]).write_text(f"{os.getpid()} {below.pid}")
time.sleep(600)
"""


@pytest.fixture
def supervisor() -> Iterator[Supervisor]:
    told: list[str] = []
    supervisor = Supervisor(told.append, orphan_grace_s=1.0)
    yield supervisor
    supervisor.stop()


def family(folder: Path) -> Child:
    return Child("family", [sys.executable, "-c", FAMILY, str(folder / "pids")], os.environ)


def read_pids(folder: Path) -> list[int]:
    deadline = time.monotonic() + 30
    while not (folder / "pids").exists() or not (folder / "pids").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return [int(word) for word in (folder / "pids").read_text().split()]


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_stopping_leaves_nothing_not_even_the_deaf(supervisor, tmp_path):
    supervisor.start(family(tmp_path))
    child, grandchild = read_pids(tmp_path)
    assert {child, grandchild} <= set(descendants(os.getpid()))
    supervisor.stop()
    assert not alive(child)
    assert not alive(grandchild)


def test_a_killed_child_is_started_again_and_its_orphans_end(supervisor, tmp_path):
    supervisor.start(family(tmp_path))
    child, grandchild = read_pids(tmp_path)
    supervisor.watch()  # sees what is below
    (tmp_path / "pids").unlink()
    os.kill(child, signal.SIGKILL)
    supervisor.children[0].process.wait()
    supervisor.watch()
    assert not alive(grandchild)
    assert child not in read_pids(tmp_path)


def test_a_child_that_dies_over_and_over_ends_it_all(supervisor):
    supervisor.start(Child("short-lived", [sys.executable, "-c", "raise SystemExit(3)"], os.environ))
    for _ in range(RESTARTS):
        supervisor.children[0].process.wait()
        supervisor.watch()
    supervisor.children[0].process.wait()
    with pytest.raises(WorkError, match="short-lived died 6 times"):
        supervisor.watch()


def test_a_child_with_a_log_is_started_again_and_goes_on_in_it(supervisor, tmp_path):
    log = tmp_path / "log"
    child = Child("speaker", [sys.executable, "-c", "print('here', flush=True)"], os.environ, log)
    supervisor.start(child)
    child.process.wait()
    supervisor.watch()
    child.process.wait()
    assert log.read_text() == "here\nhere\n"
