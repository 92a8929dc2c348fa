"""Progress is a bar in a terminal and a few lines elsewhere."""

import io
import time

import pytest

from labelfactory import progress
from labelfactory.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def run(file: io.StringIO, steps: int, pause_s: float = 0.0, **named: object) -> str:
    for _ in Progress(range(steps), desc="work", unit="step", file=file, **named):
        time.sleep(pause_s)
    return file.getvalue()


def test_what_ends_soon_says_nothing_where_nobody_watches() -> None:
    assert run(io.StringIO(), 1000) == ""


def test_a_log_gets_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "EVERY_S", 0.2)
    lines = run(io.StringIO(), 10, 0.1).splitlines()
    assert 3 <= len(lines) <= 6
    assert lines[-1].startswith("work: 10 of 10 step, 00:01 so far, 00:00 left,")
    assert not any("\r" in line or "█" in line for line in lines)


def test_a_part_that_does_not_stay_leaves_no_last_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "EVERY_S", 0.25)
    assert not any("10 of 10" in line for line in run(io.StringIO(), 10, 0.04, leave=False).splitlines())


def test_postfixes_and_unknown_totals_do_not_flood_a_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "EVERY_S", 0.2)
    file = io.StringIO()
    with Progress(unit="step", file=file) as bar:
        for i in range(200):
            bar.update()
            bar.set_postfix_str(f"loss {i}")
            time.sleep(0.002)
    assert 1 <= len(file.getvalue().splitlines()) <= 4
    assert "of ? step" in file.getvalue()


def test_a_terminal_has_its_bar() -> None:
    assert "100%|" in run(Terminal(), 5)
    assert run(Terminal(), 5, disable=True) == ""
