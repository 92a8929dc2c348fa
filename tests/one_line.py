"""Whatever somebody gives: it is taken, or one line that begins with its place says why not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from labelfactory.errors import InputError


def taken_or_told(path: Path, take: Callable[[], Any]) -> None:
    try:
        take()
    except InputError as error:
        line = str(error)
    else:
        return
    assert "\n" not in line
    assert line.startswith(str(path))
