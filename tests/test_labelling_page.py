"""The labelling page in a real browser: what a person does there, by pointer and by keyboard."""

import numpy as np
from labelling_desk import Desk, at, browser, data, desk, drag, drawn, settled, wait

from labelfactory.interpreters.labelset import LabelSet

__all__ = ["browser", "desk"]  # fixtures

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
    page.wait_for_selector("body[data-revision]")
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
