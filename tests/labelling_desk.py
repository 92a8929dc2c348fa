"""A labelling page in a real Chromium: the server, the label set that it serves, and what a hand does there."""

import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from labelling_server import LabellingServer, wait
from tiny_world import make_tiny_world

from labelfactory.interpreters.labelset import LabelSet

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
if CHROMIUM is None:
    pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)", allow_module_level=True)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


class Desk:
    """A server, the label set that it serves, and a page of it."""

    def __init__(self, folder: Path, browser: Any, pixels: int = 16, blank: bool = True, *more: str) -> None:
        world = make_tiny_world(folder, pixels=pixels)
        labels = LabelSet.load(world.labels)
        self.truth = [s.mask for s in labels]
        self.labels, self.checkpoint, self.folder = folder / "set", world.checkpoint, folder
        untouched = np.full((pixels, pixels), 255, np.uint8)
        samples = tuple(s._replace(mask=untouched) if blank else s for s in labels)
        replace(labels, samples=samples, keypoints=("tip",)).save(self.labels)
        self.browser, self.generator, self.more = browser, world.generator, more
        self.errors: list[str] = []
        self.start()

    def start(self, port: int = 0) -> None:
        log = self.folder / f"{time.monotonic_ns()}.txt"
        self.server = LabellingServer(self.labels, self.checkpoint, log, port, *self.more)

    def open(self) -> Any:
        """A page of a fresh browser session, 1280 x 720."""
        context = self.browser.new_context(viewport={"width": 1280, "height": 720})
        page = context.new_page()
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.goto(self.server.address)
        page.wait_for_selector("body[data-revision][data-editor]")
        return page

    def log(self) -> list[dict[str, Any]]:
        path = self.labels / "annotation.jsonl"
        return [json.loads(line)["event"] for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture
def desk(tmp_path: Path, browser: Any) -> Iterator[Desk]:
    made = Desk(tmp_path, browser)
    yield made
    made.server.kill()
    assert made.errors == []


def data(page: Any, name: str) -> str | None:
    found: str | None = page.evaluate("(name) => document.body.dataset[name] ?? null", name)
    return found


def settled(page: Any) -> None:
    """Every stroke is on the server's disk."""
    wait(lambda: data(page, "unsaved") == "0")


def at(page: Any, x: float, y: float, pixels: int = 16) -> tuple[float, float]:
    """Where a point of the image lies on the screen, as long as nobody has zoomed."""
    box = page.locator("#canvas").bounding_box()
    side = 0.95 * min(box["width"], box["height"])
    left, top = box["x"] + (box["width"] - side) / 2, box["y"] + (box["height"] - side) / 2
    return left + x * side / pixels, top + y * side / pixels


def drag(page: Any, *points: tuple[float, float], pixels: int = 16) -> None:
    page.mouse.move(*at(page, *points[0], pixels))
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*at(page, *point, pixels), steps=4)
    page.mouse.up()
    settled(page)


def drawn(page: Any) -> np.ndarray:
    """The labels, as the server has them, of the image that the page shows."""
    height, width, mask = page.evaluate(
        "async () => { const { fetchLayers } = await import('/static/js/api.js');"
        " const { height, width, mask } = await fetchLayers(document.body.dataset.sample);"
        " return [height, width, Array.from(mask)] }"
    )
    return np.array(mask, np.uint8).reshape(height, width)
