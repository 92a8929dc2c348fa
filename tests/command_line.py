"""What a call of the command line gave, for tests that type commands."""

from collections.abc import Callable
from typing import NamedTuple


class Result(NamedTuple):
    code: int
    out: str
    err: str


Factory = Callable[..., Result]
