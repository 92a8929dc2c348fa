"""Firefox, driven by WebDriver BiDi (W3C), which it speaks itself: no driver program and no patched browser."""

import itertools
import json
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

FIREFOX = shutil.which("firefox-esr") or shutil.which("firefox")


class Firefox:
    """A headless browser with one page."""

    def __init__(self, profile: Path) -> None:
        from websockets.sync.client import connect

        profile.mkdir()
        self.log = profile.parent / "firefox.txt"
        with self.log.open("wb") as file:
            self.process = subprocess.Popen(
                [FIREFOX or "firefox", "--headless", "--no-remote", "--profile", str(profile),
                 "--remote-debugging-port", "0", "--width", "1280", "--height", "720"],
                stdout=file, stderr=subprocess.STDOUT,
            )  # fmt: skip
        deadline = time.monotonic() + 60
        while not (found := re.search(r"WebDriver BiDi listening on (ws://\S+)", self.log.read_text())):
            assert time.monotonic() < deadline, self.log.read_text()
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.05)
        self.numbers = itertools.count(1)
        self.events: list[dict[str, Any]] = []
        self.socket = connect(f"{found[1]}/session", max_size=None)
        self.ask("session.new", capabilities={})
        self.ask("session.subscribe", events=["log.entryAdded"])
        self.page = self.ask("browsingContext.getTree")["contexts"][0]["context"]
        self.ask("browsingContext.setViewport", context=self.page, viewport={"width": 1280, "height": 720})

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self.numbers)
        self.socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            answer: dict[str, Any] = json.loads(self.socket.recv(timeout=60))
            if answer.get("id") == number:
                assert answer["type"] == "success", answer
                result: dict[str, Any] = answer["result"]
                return result
            self.events.append(answer)

    def goto(self, address: str) -> None:
        self.ask("browsingContext.navigate", context=self.page, url=address, wait="complete")

    def evaluate(self, expression: str) -> Any:
        """The value of an expression (or of its promise), by way of JSON."""
        wrapped = f"Promise.resolve({expression}).then((value) => JSON.stringify(value ?? null))"
        answer = self.ask("script.evaluate", expression=wrapped, target={"context": self.page}, awaitPromise=True)
        assert answer["type"] == "success", answer
        return json.loads(answer["result"]["value"])

    def press(self, *keys: str) -> None:
        down = [{"type": "keyDown", "value": key} for key in keys]
        up = [{"type": "keyUp", "value": key} for key in reversed(keys)]
        self._act({"type": "key", "id": "keys", "actions": down + up})

    def drag(self, *points: tuple[float, float]) -> None:
        moves = [{"type": "pointerMove", "x": round(x), "y": round(y), "duration": 20} for x, y in points]
        press, release = {"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0}
        self._act({"type": "pointer", "id": "mouse", "actions": [moves[0], press, *moves[1:], release]})

    def _act(self, source: dict[str, Any]) -> None:
        self.ask("input.performActions", context=self.page, actions=[source])

    def errors(self) -> list[str]:
        """What the page's scripts complained of."""
        told = [event["params"] for event in self.events if event.get("method") == "log.entryAdded"]
        return [entry["text"] for entry in told if entry["level"] == "error"]

    def screenshot(self) -> bytes:
        import base64

        return base64.b64decode(self.ask("browsingContext.captureScreenshot", context=self.page)["data"])

    def close(self) -> None:
        self.socket.close()
        self.process.terminate()
        self.process.wait(30)
