"""The labelling page in Firefox: drawn, undone, proposed, accepted, finished; nothing that its console complains of."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from firefox import FIREFOX, Firefox
from labelling_server import LabellingServer, wait
from tiny_world import make_tiny_world

from labelfactory.interpreters.labelset import LabelSet

if FIREFOX is None:
    pytest.skip("no Firefox on this machine (Debian: apt-get install firefox-esr)", allow_module_level=True)


@pytest.fixture
def firefox(tmp_path: Path) -> Iterator[Firefox]:
    started = Firefox(tmp_path / "profile")
    yield started
    started.close()


def test_a_label_set_is_labelled_in_firefox(firefox: Firefox, tmp_path: Path) -> None:
    world = make_tiny_world(tmp_path)
    labels = LabelSet.load(world.labels)
    truth = [s.mask for s in labels]
    blank = tuple(s._replace(mask=np.full_like(s.mask, 255)) for s in labels)
    replace(labels, samples=blank).save(tmp_path / "set")
    server = LabellingServer(tmp_path / "set", world.checkpoint, tmp_path / "log.txt")

    def data(name: str) -> int:
        return int(firefox.evaluate(f"document.body.dataset.{name}") or 0)

    def events() -> list[str]:
        path = tmp_path / "set" / "annotation.jsonl"
        return [json.loads(line)["event"]["tool"] for line in path.read_text().splitlines()] if path.exists() else []

    try:
        firefox.goto(server.address)
        wait(lambda: firefox.evaluate("document.body.dataset.revision"))
        canvas = "(({ x, y, width, height }) => [x, y, width, height])(document.getElementById('canvas')"
        x, y, width, height = firefox.evaluate(canvas + ".getBoundingClientRect())")
        side = 0.95 * min(width, height)
        left, top, pixel = x + (width - side) / 2, y + (height - side) / 2, side / 16
        firefox.press("[")
        for count, value in enumerate((1, 0) * 3):
            firefox.press(str(value + 1))
            row, column = np.argwhere(truth[data("sample")] == value)[20 * (count // 2)]
            place = (left + (column + 0.5) * pixel, top + (row + 0.5) * pixel)
            firefox.drag(place, (place[0] + 1, place[1]))
            wait(lambda: data("unsaved") == 0)
        wait(lambda: len(events()) == 6)
        firefox.press("\ue009", "z")  # Control
        wait(lambda: events()[-1] == "undo")
        wait(lambda: data("model") > 0)
        firefox.press("a")
        wait(lambda: events()[-1] == "pixels")
        overflow = "[document.body.scrollWidth - innerWidth, document.body.scrollHeight - innerHeight]"
        assert firefox.evaluate(overflow) == [0, 0]
        firefox.press("\ue009", "\ue007")  # Control and Enter
        wait(lambda: firefox.evaluate("document.getElementById('finished').open"), 120)
        assert (LabelSet.load(tmp_path / "set").samples[0].mask != 255).all()
        assert firefox.errors() == []
        (tmp_path / "firefox.png").write_bytes(firefox.screenshot())
    finally:
        server.kill()
