"""The labelling page in a real browser: what a person does there, by pointer and by keyboard."""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from labelling_server import LabellingServer
from tiny_world import make_tiny_world

from labelfactory.interpreters.labelset import LabelSet

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
if CHROMIUM is None:
    pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)", allow_module_level=True)


# Contrast of every text with what is behind it (WCAG 2.1, relative luminance); AA asks for 4.5.
CONTRASTS = """() => {
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const linear = (v) => (v / 255 <= 0.03928 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4);
  const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const behind = (e) => (e && parse(getComputedStyle(e).backgroundColor)[3] === 0 ? behind(e.parentElement) : e);
  return [...document.querySelectorAll("button, h2, p, label, small, #status")].map((e) => {
    const text = light(parse(getComputedStyle(e).color));
    const ground = light(parse(getComputedStyle(behind(e) || document.body).backgroundColor));
    return (Math.max(text, ground) + 0.05) / (Math.min(text, ground) + 0.05);
  });
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


class Desk:
    """A server, the label set that it serves, and a page of it."""

    def __init__(self, folder: Path, browser: Any) -> None:
        world = make_tiny_world(folder)
        labels = LabelSet.load(world.labels)
        blank = np.full((16, 16), 255, np.uint8)
        self.truth = [s.mask for s in labels]
        self.labels, self.checkpoint, self.folder = folder / "set", world.checkpoint, folder
        samples = tuple(s._replace(mask=blank) for s in labels)
        replace(labels, samples=samples, keypoints=("tip",)).save(self.labels)
        self.browser = browser
        self.errors: list[str] = []
        self.start()

    def start(self, port: int = 0) -> None:
        self.server = LabellingServer(self.labels, self.checkpoint, self.folder / f"{time.monotonic_ns()}.txt", port)

    def open(self) -> Any:
        """A page of a fresh browser session, 1280 x 720."""
        context = self.browser.new_context(viewport={"width": 1280, "height": 720})
        page = context.new_page()
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.goto(self.server.address)
        page.wait_for_selector("#strip button")
        wait(lambda: data(page, "revision") is not None)
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


def wait(question: Callable[[], Any], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not question():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def data(page: Any, name: str) -> str | None:
    found: str | None = page.evaluate("(name) => document.body.dataset[name] ?? null", name)
    return found


def settled(page: Any) -> None:
    """Every stroke is on the server's disk."""
    wait(lambda: data(page, "unsaved") == "0")


def at(page: Any, x: float, y: float) -> tuple[float, float]:
    """Where a point of the 16 px image lies on the screen."""
    box = page.locator("#canvas").bounding_box()
    zoom = 0.95 * min(box["width"], box["height"]) / 16
    return box["x"] + (box["width"] - 16 * zoom) / 2 + x * zoom, box["y"] + (box["height"] - 16 * zoom) / 2 + y * zoom


def drag(page: Any, *points: tuple[float, float]) -> None:
    page.mouse.move(*at(page, *points[0]))
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*at(page, *point), steps=4)
    page.mouse.up()
    settled(page)


def drawn(page: Any) -> np.ndarray:
    """The labels that the page shows."""
    answer = page.evaluate(
        "async () => { const m = await import('/static/js/api.js'); return Array.from((await m.fetchLayers(0)).mask) }"
    )
    return np.array(answer, np.uint8).reshape(16, 16)


def test_brush_eraser_subtract_undo_and_redo(desk: Desk) -> None:
    page = desk.open()
    drag(page, (3, 8), (12, 8))
    painted = drawn(page)
    assert (painted[8, 3:12] == 1).all()
    page.keyboard.press("e")
    drag(page, (3, 8), (3, 8))
    erased = drawn(page)
    assert erased[8, 3] == 255
    page.keyboard.press("s")
    page.keyboard.press("[")
    drag(page, (11, 8), (11.2, 8))
    assert drawn(page)[8, 11] == 0
    assert data(page, "tool") == "subtract"  # the tool stays from object to object
    page.keyboard.press("Control+z")
    settled(page)
    np.testing.assert_array_equal(drawn(page), erased)
    page.keyboard.press("Control+z")
    settled(page)
    np.testing.assert_array_equal(drawn(page), painted)
    page.keyboard.press("Control+y")
    settled(page)
    np.testing.assert_array_equal(drawn(page), erased)


def test_polygon_fill_keypoint_and_objects(desk: Desk) -> None:
    page = desk.open()
    page.keyboard.press("n")
    page.keyboard.press("p")
    for corner in ((2, 2), (10, 2), (10, 10), (2, 10)):
        page.mouse.click(*at(page, *corner))
    page.keyboard.press("Enter")
    settled(page)
    assert (drawn(page)[2:10, 2:10] == 1).all()
    page.keyboard.press("x")
    drag(page, (6, 1), (6, 11))
    assert desk.log()[-1]["tool"] == "split"
    page.keyboard.press("m")
    page.mouse.click(*at(page, 3, 5))
    page.mouse.click(*at(page, 8, 5))
    settled(page)
    assert desk.log()[-1] | {"id": ""} == {"sample": "0000", "tool": "merge", "objects": [1, 2], "id": ""}
    page.keyboard.press("f")
    page.keyboard.press("1")
    page.mouse.click(*at(page, 14, 14))
    settled(page)
    assert drawn(page)[15, 15] == 0
    page.keyboard.press("k")
    page.mouse.click(*at(page, 4.5, 3.5))
    settled(page)
    assert desk.log()[-1]["name"] == "tip"


def test_a_proposal_comes_is_accepted_and_the_next_image_is_chosen(desk: Desk) -> None:
    page = desk.open()
    page.keyboard.press("[")
    for value in (1, 0):
        page.keyboard.press(str(value + 1))
        for y, x in np.argwhere(desk.truth[0] == value)[::20]:
            page.mouse.click(*at(page, x + 0.5, y + 0.5))
            settled(page)
    wait(lambda: int(data(page, "model") or 0) > 0)
    page.keyboard.press("a")
    settled(page)
    assert (drawn(page) != 255).all()
    page.keyboard.press("d")
    settled(page)
    wait(lambda: "done" in page.locator("#strip button").first.get_attribute("aria-label"))
    page.keyboard.press("Enter")
    shown = page.locator("#strip button[aria-current=true]")
    wait(lambda: not shown.get_attribute("aria-label").startswith("Image 1,"))
    wait(lambda: page.locator("#gallery img").count() > 0)
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("#finished[open]", timeout=120_000)
    assert "factory generate" in page.locator("#command").inner_text()
    assert (LabelSet.load(desk.labels).samples[0].mask != 255).all()


def test_by_keyboard_alone(desk: Desk) -> None:
    page = desk.open()
    page.locator("#canvas").focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Space")
    settled(page)
    assert drawn(page)[5, 5] == 1
    page.keyboard.press("?")
    page.wait_for_selector("#help[open]")
    page.keyboard.press("Escape")
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("() => document.activeElement.id || document.activeElement.textContent"))
    assert {"canvas", "finish", "accept-all", "size", "opacity", "show-heat"} <= reached


def test_reload_second_tab_and_a_killed_server_lose_nothing(desk: Desk) -> None:
    page = desk.open()
    drag(page, (3, 3), (6, 3))
    before = drawn(page)
    page.reload()
    page.wait_for_selector("#strip button")
    np.testing.assert_array_equal(drawn(page), before)
    second = page.context.new_page()
    second.goto(desk.server.origin)
    second.wait_for_selector("#reader:not([hidden])")
    second.click("#take-over")
    page.wait_for_selector("#reader:not([hidden])")
    drag(second, (3, 12), (6, 12))
    second.close()
    wait(lambda: page.locator("#reader").is_hidden())  # the tab that is left draws again
    port = desk.server.port
    desk.server.kill()
    page.wait_for_selector("#trouble:not([hidden])")
    desk.start(port)
    again = desk.open()
    shown = drawn(again)
    assert (shown[3, 3:6] == 1).all()
    assert (shown[12, 3:6] == 1).all()
    assert len(desk.log()) == 2


def test_it_fits_a_small_screen_and_has_readable_contrast(desk: Desk) -> None:
    page = desk.open()
    overflow = page.evaluate("() => [document.body.scrollWidth - innerWidth, document.body.scrollHeight - innerHeight]")
    assert overflow == [0, 0]
    assert min(page.evaluate(CONTRASTS)) >= 4.5
