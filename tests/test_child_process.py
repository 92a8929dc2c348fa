"""Work in a process of its own: what it sends is heard, why it ended is one line, and it can be stopped."""

import subprocess
import sys
import time
from multiprocessing.connection import Connection
from pathlib import Path

from heard import Heard

from labelfactory.errors import InputError, WorkError
from labelfactory.factory.labels.child_process import ChildProcess


def doubles(pipe: Connection, factor: int) -> None:
    while (number := pipe.recv()) is not None:
        pipe.send((factor * number,))


def fails(pipe: Connection, text: str) -> None:
    raise InputError(text) if text else MemoryError


def sleeps(pipe: Connection) -> None:
    pipe.send(("asleep",))
    time.sleep(600)


def test_what_it_sends_is_heard_and_it_ends_by_itself() -> None:
    heard = Heard()
    process = ChildProcess(doubles, (2,), heard, "test", "doubling")
    process.send(4)
    process.send(5)
    assert heard.wait_for(2) == [(8,), (10,)]
    assert process.alive
    process.send(None)
    process.stop(patience_s=60.0)
    assert process._process.exitcode == 0
    process.send(6)  # to nobody
    assert heard.messages == [(8,), (10,)]


def test_why_it_ended_is_one_line() -> None:
    for text, expected in (("no such\n  folder", "testing: no such folder"), ("", "testing: MemoryError")):
        heard = Heard()
        process = ChildProcess(fails, (text,), heard, "test", "testing")
        (error,) = heard.wait_for(1)
        assert isinstance(error, WorkError)
        assert str(error) == expected
        process.stop()


def test_what_does_not_want_to_end_is_ended() -> None:
    heard = Heard()
    process = ChildProcess(sleeps, (), heard, "test", "sleeping")
    heard.wait_for(1)
    process.stop()
    assert not process.alive


def test_where_the_server_dies_it_ends_without_a_word() -> None:
    script = """
import os, sys
sys.path.insert(0, sys.argv[1])
from test_child_process import ChildProcess, Heard, doubles
heard = Heard()
process = ChildProcess(doubles, (2,), heard, "test", "doubling")
process.send(4)
heard.wait_for(1)
os.kill(os.getpid(), 9)
"""
    folder = str(Path(__file__).parent)
    ended = subprocess.run([sys.executable, "-c", script, folder], capture_output=True, text=True, timeout=120)
    assert ended.returncode == -9
    assert ended.stderr == ""  # and its end was waited for: the child has the same stderr
