"""What a person reads after Ctrl-C: what is kept, and what the same command does next."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from labelfactory.errors import InputError, Interrupted, WorkError

NOTHING = "nothing was written; the same command begins again"


@contextmanager
def said_when_interrupted(kept: Callable[[], str]) -> Iterator[None]:
    """Turns Ctrl-C into ``Interrupted`` with what ``kept`` says by then."""
    try:
        yield
    except KeyboardInterrupt:
        try:
            told = kept()
        except (InputError, WorkError, OSError):
            told = "what was finished stays"
        raise Interrupted(f"interrupted; {told}") from None
