"""``factory up`` under a load of runs, while its processes are killed: worker, run, server, database, in any order.

``python tests/kills.py 100 --state FOLDER [--minutes 14]`` counts kills in FOLDER, so that it may be done in pieces.
All the time no run may be open for longer than a minute after its process is gone. Stores are made again and again;
each that is finished is compared, file by file, with one that was made in peace.
"""

import argparse
import json
import os
import random
import shutil
import signal
import sys
import time
import urllib.error
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from running_factory import RunningFactory, wait_for
from running_postgresql import PostgreSQL, running_postgresql
from storage_data import tree
from tiny_world import make_tiny_world

from labelfactory.flows.lost_runs import OPEN, run_processes
from labelfactory.flows.supervision import LIVED_S, descendants, signal_all

LIMIT_S = 60.0  # in which a run that lost its process must be said to have crashed
VICTIMS = ("worker", "run", "server", "database", "worker and run", "server and run")
STORES, COUNT, SHARD = 2, 1536, 16


def made_in_peace(factory: RunningFactory, name: str, seed: int) -> None:
    """A store that nobody disturbs."""
    submit(factory, name, seed)
    wait_for(name, 600, lambda: factory.state(name) == "COMPLETED")


def submit(factory: RunningFactory, out: str, seed: int) -> None:
    (deployment,) = factory.ask("/deployments/filter", {"deployments": {"name": {"any_": ["generate-dataset"]}}})
    given = {"generator": "tiny.safetensors", "labels": "labels", "out": out, "count": COUNT}
    parameters = {**deployment["parameters"], **given, "shard_size": SHARD, "seed": seed}
    factory.ask(f"/deployments/{deployment['id']}/create_flow_run", {"parameters": parameters})


def age_s(pid: int) -> float:
    """Seconds since a process was started; 0 for one that is gone."""
    try:
        ticks = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except (OSError, IndexError):
        return 0.0
    return float(Path("/proc/uptime").read_text().split()[0]) - ticks / os.sysconf("SC_CLK_TCK")


class Kills:
    """The load, the killing and the look at what comes of it.

    gone  when the process of a run was first missing (monotonic seconds), for runs that the server calls open
    """

    def __init__(self, factory: RunningFactory, database: PostgreSQL, rng: random.Random) -> None:
        self.factory, self.database, self.rng = factory, database, rng
        self.gone: dict[str, float] = {}
        self.longest, self.compared, self.done = 0.0, 0, dict.fromkeys(VICTIMS, 0)
        self._peace: dict[int, dict[str, bytes]] = {}

    def peace(self, seed: int) -> dict[str, bytes]:
        if seed not in self._peace:
            store = self.factory.workspace / f"peace-{seed}.zarr"
            if not (store / "manifest.json").exists():
                made_in_peace(self.factory, store.name, seed)
            self._peace[seed] = tree(store)
        return self._peace[seed]

    def open_runs(self) -> list[dict[str, Any]] | None:
        """Runs that the server calls open; None where it does not answer."""
        query = {"flow_runs": {"state": {"type": {"any_": [*OPEN, "SCHEDULED"]}}}, "limit": 100}
        try:
            found: list[dict[str, Any]] = self.factory.ask("/flow_runs/filter", query)
        except (OSError, urllib.error.URLError, ValueError):
            return None
        return found

    def look(self) -> None:
        """AssertionError where a run is open though its process has been gone for a minute."""
        living, runs, now = run_processes(), self.open_runs(), time.monotonic()
        if runs is None:
            return
        without = {run["id"]: run for run in runs if run["state_type"] in OPEN and run["id"] not in living}
        self.gone = {run: self.gone.get(run, now) for run in without}
        for run, since in self.gone.items():
            self.longest = max(self.longest, now - since)
            told = (without[run]["state_type"], without[run]["name"], self.factory.log[-2000:])
            assert now - since < LIMIT_S, f"open {now - since:.0f} s after its process was gone: {told}"

    def load(self) -> None:
        """Every store that is not being made is compared, if it is there, and ordered anew."""
        runs = self.open_runs()
        if runs is None or self.processes().keys() - {run["id"] for run in runs}:
            return  # what the server has given up may be at work for a moment still
        for seed in range(STORES):
            name = f"set-{seed}.zarr"
            if any(f"'{name}'" in str(run["parameters"]) for run in runs):
                continue
            folder = self.factory.workspace / name
            if (folder / "manifest.json").exists():
                self.compare(folder, seed)
                shutil.rmtree(folder)
            try:
                submit(self.factory, name, seed)
            except (OSError, ValueError):
                return  # it has died meanwhile

    def compare(self, folder: Path, seed: int) -> None:
        made, peace = tree(folder), self.peace(seed)
        assert made.keys() == peace.keys(), sorted(made.keys() ^ peace.keys())
        assert [path for path in peace if made[path] != peace[path]] == []
        self.compared += 1

    def processes(self) -> dict[str, list[int]]:
        """Processes of runs below our ``factory up``, by run."""
        ours = set(descendants(self.factory.process.pid))
        found = {run: sorted(ours & pids.keys()) for run, pids in run_processes().items()}
        return {run: pids for run, pids in found.items() if pids}

    def pids(self, victim: str) -> list[int]:
        found = list[int]()
        if "worker" in victim:
            workers = [pid for pid in self.factory.processes("worker start") if age_s(pid) > LIVED_S]
            found += self.rng.sample(workers, min(1, len(workers)))
        if "run" in victim:
            runs = list(self.processes().values())
            found += [self.rng.choice(pids) for pids in self.rng.sample(runs, min(1, len(runs)))]
        if "server" in victim:  # one that is still starting would be taken for one that cannot start
            servers = self.factory.processes("server start") if self.open_runs() is not None else []
            found += [pid for pid in servers if age_s(pid) > LIVED_S]
        return found

    def kill(self, victim: str) -> None:
        if victim == "database":
            self.database.kill()
            time.sleep(self.rng.uniform(0, 5))
            self.database.start()
        chosen = self.pids(victim)
        signal_all(chosen, signal.SIGKILL)
        self.done[victim] += bool(chosen) or victim == "database"

    def rest(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            assert self.factory.process.poll() is None, self.factory.log[-3000:]
            self.look()
            self.load()
            time.sleep(2)

    def end(self) -> None:
        """After a minute nothing says that it runs which does not; then everything is finished in peace, and equal."""
        wait_for("the server", 120, lambda: self.open_runs() is not None)
        for seed in range(STORES):
            self.peace(seed)
            name = f"set-{seed}.zarr"
            wait_for(f"the runs of {name}", 600, lambda name=name: not self.is_open(name))
            if not (self.factory.workspace / name / "manifest.json").exists():
                made_in_peace(self.factory, name, seed)
            self.compare(self.factory.workspace / name, seed)

    def is_open(self, name: str) -> bool:
        self.look()
        return any(f"'{name}'" in str(run["parameters"]) for run in self.open_runs() or [])


def run(
    kills: int,
    seed: int,
    folder: Path,
    minutes: float = 600.0,
    pause_s: tuple[float, float] = (2, 10),
    note: Callable[[Kills], Any] = lambda told: None,
) -> Kills:
    """Kills so often, or until the time is over. What was made in peace stays in the folder for the next piece."""
    with ExitStack() as stack:
        database = stack.enter_context(running_postgresql())
        workspace = folder / "workspace"
        if not workspace.exists():
            world = make_tiny_world(folder)
            (folder / "new").mkdir()
            shutil.copy(world.checkpoint, folder / "new/tiny.safetensors")
            shutil.copytree(world.labels, folder / "new/labels")
            (folder / "new").rename(workspace)
        factory = RunningFactory(
            folder,
            workspace,
            arguments=("--workers", "2"),
            PREFECT_SERVER_DATABASE_CONNECTION_URL=database.url,
            PREFECT_WORKER_QUERY_SECONDS="2",
        )
        stack.callback(factory.kill)
        factory.wait_until_up()
        rng, until = random.Random(seed), time.monotonic() + 60 * minutes
        told = Kills(factory, database, rng)
        for number in range(STORES):
            told.peace(number)
        while sum(told.done.values()) < kills and time.monotonic() < until:
            told.rest(rng.uniform(*pause_s))
            note(told)  # what was killed before has come to no harm so far
            told.kill(rng.choice(VICTIMS))
        told.end()
        note(told)
    return told


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kills", type=int)
    parser.add_argument("--state", type=Path, required=True, help="folder with the count")
    parser.add_argument("--minutes", type=float, default=600.0, help="of killing in this piece")
    args = parser.parse_args(arguments)
    args.state.mkdir(parents=True, exist_ok=True)
    file = args.state / "kills.json"
    state = (
        json.loads(file.read_text()) if file.exists() else {"kills": {}, "compared": 0, "longest_s": 0.0, "pieces": 0}
    )
    left = args.kills - sum(state["kills"].values())
    before = dict(state)

    def note(told: Kills) -> None:
        state["kills"] = {victim: before["kills"].get(victim, 0) + told.done[victim] for victim in VICTIMS}
        state["compared"] = before["compared"] + told.compared
        state["longest_s"] = max(before["longest_s"], round(told.longest, 1))
        state["pieces"] = before["pieces"] + 1
        file.write_text(json.dumps(state))

    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended from outside"))
    if left > 0:
        run(left, state["pieces"], args.state, args.minutes, note=note)
    print(
        f"{sum(state['kills'].values())} kills ({state['kills']}); {state['compared']} stores compared, all equal; the "
        f"longest that a run stayed open without its process: {state['longest_s']} s",
        flush=True,
    )


if __name__ == "__main__":
    main(sys.argv[1:])
