"""What people who label wish for, one test a wish, in a real browser."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from labelling_desk import Desk, at, browser, data, drag, drawn, settled, wait

from labelfactory.factory.heads.classes import InterpreterSettings, train_interpreter
from labelfactory.interpreters.labelset import LabelSet

__all__ = ["browser"]  # a fixture
Opened = Callable[..., Desk]

# Milliseconds between the frames of the second that follows.
FRAMES = """() => { const times = []; const end = performance.now() + 1000; window.frames_ms = new Promise((told) => {
  const frame = (now) => { times.push(now); if (now < end) requestAnimationFrame(frame);
    else told(times.slice(1).map((time, i) => time - times[i])); };
  requestAnimationFrame(frame); }); }"""


@pytest.fixture
def opened(tmp_path: Path, browser: Any) -> Iterator[Opened]:
    desks: list[Desk] = []

    def make(pixels: int = 16, blank: bool = True, *more: str) -> Desk:
        desks.append(Desk(tmp_path, browser, pixels, blank, *more))
        return desks[-1]

    yield make
    for desk in desks:
        desk.server.kill()
        assert desk.errors == []


def test_correct_an_existing_mask_with_assistance(opened: Opened) -> None:
    desk = opened(16, False)  # masks drawn elsewhere, all of them whole
    page = desk.open()
    truth = drawn(page)
    assert (truth != 255).all()
    wait(lambda: int(data(page, "model") or 0) > 0)  # learned from what is there
    page.keyboard.press("e")
    page.keyboard.press("]")
    drag(page, (3, 3), (12, 12))
    assert (drawn(page) == 255).sum() > 20
    revision = int(data(page, "model") or 0)
    wait(lambda: int(data(page, "model") or 0) > revision)
    page.keyboard.press("a")  # the proposal fills the hole
    settled(page)
    assert (drawn(page) != 255).all()
    assert (drawn(page) == truth).mean() > 0.9


def test_subtract_pixels(opened: Opened) -> None:
    page = opened().open()
    drag(page, (2, 8), (13, 8))
    page.keyboard.press("s")
    page.keyboard.press("[")
    drag(page, (8, 8), (8.2, 8))
    mask = drawn(page)
    assert mask[8, 8] == 0
    assert mask[8, 3] == 1
    assert mask[8, 13] == 1


def test_keep_the_tool(opened: Opened) -> None:
    page = opened().open()
    for key, tool in (("s", "subtract"), ("e", "eraser"), ("p", "polygon"), ("b", "brush")):
        page.keyboard.press(key)
        for _ in range(2):  # from object to object and from image to image
            page.keyboard.press("n")
            drag(page, (4, 4), (9, 9))
            page.keyboard.press("PageDown")
            assert data(page, "tool") == tool


def test_undo_that_works(opened: Opened) -> None:
    page = opened().open()
    states = [drawn(page)]
    for n in range(6):
        page.keyboard.press(str(1 + n % 2))
        drag(page, (1 + 2 * n, 2), (1 + 2 * n, 13))
        states.append(drawn(page))
    for before in reversed(states[:-1]):
        page.keyboard.press("Control+z")
        settled(page)
        np.testing.assert_array_equal(drawn(page), before)
    page.reload()  # undone acts are on the disk too, and can be redone after a reload
    page.wait_for_selector("body[data-revision][data-editor=true]")
    for after in states[1:]:
        page.keyboard.press("Control+Shift+Z")
        settled(page)
        np.testing.assert_array_equal(drawn(page), after)


def test_continue_from_my_model(opened: Opened, tmp_path: Path) -> None:
    file = tmp_path / "mine.safetensors"
    desk = opened()
    desk.server.kill()
    truth = LabelSet.load(tmp_path / "labels")
    train_interpreter(desk.generator, truth, InterpreterSettings(members=2), progress=False).save(file)
    desk.more = ("--interpreter", str(file))
    desk.start()
    page = desk.open()
    wait(lambda: int(data(page, "model") or 0) > 0)  # before the first stroke
    page.keyboard.press("a")
    settled(page)
    shown = int(data(page, "sample") or 0)
    assert (drawn(page) == desk.truth[shown]).mean() > 0.8


def test_loss_curve_quality_metrics_and_a_log_of_how_the_annotation_came_about(opened: Opened) -> None:
    desk = opened()
    page = desk.open()
    page.keyboard.press("[")
    for value in (1, 0) * 4:
        page.keyboard.press(str(value + 1))
        y, x = np.argwhere(desk.truth[0] == value)[7 * len(desk.log()) % 60]
        drag(page, (x + 0.5, y + 0.5), (x + 0.5, y + 0.5))
        if value == 0:  # one class alone teaches nothing
            wait(lambda: int(data(page, "model") or 0) > 0)
    wait(lambda: "agreement of the last" in page.locator("#loss").inner_text())
    assert "loss" in page.locator("#loss").inner_text()
    inked = "() => { const c = document.getElementById('curve'); return new Set(new Uint32Array("
    inked += "c.getContext('2d').getImageData(0, 0, c.width, c.height).data.buffer)).size }"
    assert page.evaluate(inked) > 3  # frame, points, mean, loss
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("#finished[open]", timeout=120_000)
    log = [json.loads(line) for line in (desk.labels / "annotation.jsonl").read_text().splitlines()]
    assert [line["event"]["tool"] for line in log].count("brush") == 8
    report = json.loads((desk.labels / "annotation_report.json").read_text())
    assert sum(sample["strokes"] for sample in report["samples"]) == 8


def test_a_large_brush_without_lag(opened: Opened) -> None:
    page = opened(256).open()
    for _ in range(80):
        page.keyboard.press("]")
    assert page.locator("#size-shown").inner_text() == "64"
    page.mouse.move(*at(page, 60, 60, 256))
    page.mouse.down()
    page.evaluate(FRAMES)
    for n in range(40):
        page.mouse.move(*at(page, 60 + 3 * n, 60 + 40 * np.sin(n), 256))
    page.mouse.up()
    frames = page.evaluate("() => window.frames_ms")
    settled(page)
    assert np.median(frames) < 50
    assert (drawn(page) == 1).sum() > 10_000


def test_many_objects_without_freeze(opened: Opened) -> None:
    desk = opened(256)
    page = desk.open()
    cookie = page.context.cookies()[0]
    desk.server.cookie = f"{cookie['name']}={cookie['value']}"
    sample = int(data(page, "sample") or 0)
    with desk.server.socket(max_queue=None) as other:  # another tab draws 400 objects
        other.send(json.dumps({"type": "take_over"}))
        for n in range(400):
            x, y = 6 + 12.5 * (n % 20), 6 + 12.5 * (n // 20)
            event = {"tool": "brush", "value": 1, "size": 4, "points": [[x, y]], "instance": n + 1}
            other.send(json.dumps({"type": "stroke", "sample": sample, "id": f"o{n}", "event": event}))
        wait(lambda: len(desk.log()) == 400)
    wait(lambda: page.locator("#reader").is_hidden())
    wait(lambda: (drawn(page) == 1).sum() > 10_000)
    page.evaluate(FRAMES)
    page.keyboard.press("n")
    started = time.perf_counter()
    drag(page, (128, 128), (140, 140), pixels=256)
    assert time.perf_counter() - started < 3
    assert np.median(page.evaluate("() => window.frames_ms")) < 50
    assert desk.log()[-1]["instance"] == 401
