"""``factory up`` as a real process in an empty home, for tests, with the few questions that they ask its server."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from labelfactory.flows.supervision import descendants


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(what: str, seconds: float, question: Callable[[], Any]) -> Any:
    """The first true answer; AssertionError where there is none in time."""
    deadline = time.monotonic() + seconds
    while not (answer := question()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.3)
    return answer


class RunningFactory:
    """``workspace`` is where runs read and write; ``log`` what the command said.

    ``python`` and ``folder``: of another installation than that of the tests, and where its commands are typed;
    ``arguments`` of ``factory up`` besides.
    """

    def __init__(
        self,
        home: Path,
        workspace: Path,
        python: str = sys.executable,
        folder: Path | None = None,
        arguments: Sequence[str] = (),
        **environment: str,
    ) -> None:
        self.workspace, self.log_path, self.python, self.folder = workspace, home / "up.log", python, folder
        self.port = free_port()
        self.api = f"http://127.0.0.1:{self.port}/api"
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}
        self.environment = {
            **inherited,
            "HOME": str(home),
            "PREFECT_HOME": str(home / ".prefect"),
            "LABELFACTORY_CACHE": str(home / "cache"),
            "PREFECT_PLUGINS_ENABLED": "true",
            "DO_NOT_TRACK": "1",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            **environment,
        }
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                [
                    python,
                    "-m",
                    "labelfactory",
                    "up",
                    "--port",
                    str(self.port),
                    "--workspace",
                    str(workspace),
                    *arguments,
                ],
                cwd=folder,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def log(self) -> str:
        return self.log_path.read_text()

    def wait_until_up(self, seconds: float = 240) -> None:
        wait_for("the worker", seconds, lambda: "started!" in self.log or self.process.poll() is not None)
        assert self.process.poll() is None, self.log

    def prefect(self, *arguments: str, timeout: float = 240) -> str:
        """Output of ``prefect ...`` as somebody at a terminal would type it."""
        done = subprocess.run(
            [self.python, "-m", "prefect", *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def ask(self, path: str, body: dict[str, Any], method: str = "POST") -> Any:
        request = urllib.request.Request(
            self.api + path, json.dumps(body).encode(), {"Content-Type": "application/json"}, method=method
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read() or b"null")

    def runs(self) -> list[dict[str, Any]]:
        """Flow runs that are not only planned, newest first."""
        begun = {"state": {"type": {"not_any_": ["SCHEDULED"]}}}
        query = {"flow_runs": begun, "sort": "EXPECTED_START_TIME_DESC", "limit": 50}
        found: list[dict[str, Any]] = self.ask("/flow_runs/filter", query)
        return found

    def state(self, name: str) -> str:
        """State type of the run that was given this name (which prefixes nothing else), or an empty string."""
        return next((run["state_type"] for run in self.runs() if name in str(run["parameters"])), "")

    def processes(self, part: str) -> list[int]:
        """Process ids below the command whose command line contains ``part``."""
        found = []
        for pid in descendants(self.process.pid):
            try:
                if part in Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode():
                    found.append(pid)
            except (FileNotFoundError, ProcessLookupError):
                continue
        return found

    def stop(self) -> float:
        """SIGTERM; the seconds until everything was gone."""
        below, began = descendants(self.process.pid), time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(120)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        left = [pid for pid in below if Path(f"/proc/{pid}").exists()]
        assert not left, f"still there: {left}"
        return time.monotonic() - began

    def kill(self) -> None:
        for pid in [self.process.pid, *descendants(self.process.pid)]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.wait()
