"""Writers that die: at a chosen step of the protocol, or by SIGKILL at a random moment. Real processes, real files.

``python tests/storage_crash.py 100`` does the long version: every single step of making and of growing a store, then
100 datasets, each made by one or two writers that are killed again and again, each compared with the uninterrupted
store file by file.
"""

import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from storage_data import fill, make_spec, tree

from labelfactory.storage import DatasetSpec, create_store, open_store, verify

FAST = "/dev/shm" if os.path.isdir("/dev/shm") else None  # a process that dies leaves the same there as on a disk
SMALL, GROWN = make_spec(count=6), make_spec(count=11)
STEPS = ("open", "replace", "link", "unlink", "mkdir", "fsync", "write", "close")


def in_child(work: Callable[[], None]) -> int:
    """Runs ``work`` in a forked process; gives its process id. It exits with 0, or with 1 after an exception."""
    child = os.fork()
    if child:
        return child
    try:
        work()
        os._exit(0)
    except BaseException as error:
        print(f"writer: {error!r}", file=sys.stderr, flush=True)
        os._exit(1)


def join(child: int) -> int:
    """The exit status of a child: its code, or minus the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def die_at(step: int) -> list[int]:
    """From now on this process counts what it asks of the file system, and is gone before request number ``step``."""
    count = [0]

    def counted(function):
        def call(*args, **kwargs):
            if count[0] == step:
                os._exit(77)
            count[0] += 1
            return function(*args, **kwargs)

        return call

    for name in STEPS:
        setattr(os, name, counted(getattr(os, name)))
    return count


def make(folder: Path, spec: DatasetSpec) -> None:
    with create_store(str(folder), spec) as store:
        fill(store)


def steps_and_store(start: DatasetSpec | None, spec: DatasetSpec) -> tuple[int, dict[str, bytes]]:
    """How many requests the whole making takes, and what it ends with; from nothing or from a smaller set."""
    with tempfile.TemporaryDirectory(dir=FAST) as parent:
        folder = Path(parent) / "set"
        if start is not None:
            make(folder, start)
        reader, writer = os.pipe()

        def counted() -> None:
            count = die_at(-1)
            make(folder, spec)
            os.write(writer, str(count[0] - 1).encode())

        assert join(in_child(counted)) == 0
        return int(os.read(reader, 20)), tree(folder)


def interrupted(start: DatasetSpec | None, spec: DatasetSpec, step: int, whole: dict[str, bytes]) -> None:
    """A writer is gone before its request number ``step``; the next one must end with ``whole``."""
    with tempfile.TemporaryDirectory(dir=FAST) as parent:
        folder = Path(parent) / "set"
        if start is not None:
            make(folder, start)

        def dying() -> None:
            die_at(step)
            make(folder, spec)

        assert join(in_child(dying)) == 77
        no_wrong_record(folder)
        make(folder, spec)
        assert tree(folder) == whole


def no_wrong_record(folder: Path) -> None:
    """What a dead writer leaves may be incomplete, but every record tells the truth about its shard."""
    if not (folder / "zarr.json").exists():
        return
    committed = set(range(open_store(str(folder)).num_shards)) - set(open_store(str(folder)).missing())
    report = verify(str(folder))
    wrong = [f for f in report.findings if f.shard in committed and not f.path.startswith("keep/")]
    assert not wrong, wrong
    assert (folder / "manifest.json").exists() <= report.ok, report.findings


def killed_at_random(folder: Path, spec: DatasetSpec, writers: int, rng: random.Random, limit_s: float) -> int:
    """Starts writers and kills them at random moments until one finishes by itself; gives how many were killed."""
    kills = 0
    for _ in range(rng.randint(1, 5)):
        children = [in_child(lambda: make(folder, spec)) for _ in range(writers)]
        for child in rng.sample(children, len(children)):
            time.sleep(rng.random() * limit_s / writers)
            os.kill(child, signal.SIGKILL)
        statuses = [join(child) for child in children]
        assert set(statuses) <= {0, -signal.SIGKILL}, statuses
        kills += statuses.count(-signal.SIGKILL)
        no_wrong_record(folder)
    children = [in_child(lambda: make(folder, spec)) for _ in range(writers)]
    assert [join(child) for child in children] == [0] * writers
    return kills


def main(runs: int) -> None:
    for start in (None, SMALL):
        steps, whole = steps_and_store(start, GROWN)
        for step in range(steps):
            interrupted(start, GROWN, step, whole)
        print(
            f"{'making' if start is None else 'growing'}: died before each of {steps} steps, resumed, equal", flush=True
        )
    rng, spec = random.Random(0), make_spec(count=60, shard_size=4, height=64, width=64)
    kills = 0
    with tempfile.TemporaryDirectory() as parent:
        began = time.monotonic()
        make(Path(parent) / "whole", spec)
        seconds, whole = time.monotonic() - began, tree(Path(parent) / "whole")
        for run in range(runs):
            folder = Path(parent) / f"run{run}"
            kills += killed_at_random(folder, spec, 1 + run % 2, rng, seconds)
            assert tree(folder) == whole, f"run {run} differs from the uninterrupted store"
            shutil.rmtree(folder)
            print(f"run {run + 1}: {kills} writers killed so far, every store equal file by file", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
