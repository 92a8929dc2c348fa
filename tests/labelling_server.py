"""``factory label`` as a real process, for tests that talk to it or look at its page."""

import http.client
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def wait(question: Callable[[], Any], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not question():
        assert time.monotonic() < deadline
        time.sleep(0.02)


class LabellingServer:
    """A running server; ``cookie`` is its session's, got with the token that it printed."""

    def __init__(self, labels: Path, generator: Path | str, log: Path, port: int = 0, *more: str) -> None:
        self.log = log
        with log.open("ab") as file:
            self.process = subprocess.Popen(
                [
                    sys.executable, "-W", "ignore", "-m", "labelfactory", "label", str(labels),
                    "--generator", str(generator), "--port", str(port), "--device", "cpu", *more,
                ],
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"},
            )  # fmt: skip
        self.address = self._address()
        self.port = int(re.search(r":(\d+)/", self.address)[1])
        self.cookie = ""

    def _address(self) -> str:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            found = re.findall(r"http://127\.0\.0\.1:\d+/\?token=\S+", self.log.read_text())
            if found and self._answers(found[-1]):
                return found[-1]
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.05)
        raise AssertionError(self.log.read_text())

    @staticmethod
    def _answers(address: str) -> bool:
        port = int(re.search(r":(\d+)/", address)[1])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/api/state")
            with connection.getresponse() as answer:
                return answer.status == 403  # alive, and closed to us
        except OSError:
            return False
        finally:
            connection.close()

    def log_in(self) -> None:
        status, headers, _ = self.ask("GET", self.address.partition(str(self.port))[2], cookie="")
        assert status == 303
        self.cookie = headers["set-cookie"].partition(";")[0]

    def ask(
        self, method: str, path: str, body: bytes | None = None, cookie: str | None = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers (lower case) and body of one request. Header names with _ for -."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if cookie is None:
            cookie = self.cookie
        connection.request(method, path, body, {**({"cookie": cookie} if cookie else {}), **given})
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, content

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def socket(self, max_queue: int | None = 16, **headers: Any) -> Any:
        """A connected web socket of our page's origin; ``headers`` replace what it would send."""
        from websockets.sync.client import connect

        given = {"Cookie": self.cookie, **headers}
        origin = given.pop("Origin", self.origin)
        return connect(f"ws://127.0.0.1:{self.port}/ws", origin=origin, additional_headers=given, max_queue=max_queue)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(30)
