"""What a person reads after Ctrl-C: what is kept, and what the same command does next."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from labelfactory.errors import InputError, Interrupted, WorkError

NOTHING = "nothing was written; the same command begins again"


def committed(store: str, storage_options: dict[str, Any] | None = None) -> str:
    """Counts the shards of a store that an interruption leaves behind."""
    from labelfactory.storage import open_store

    try:
        opened = open_store(store, storage_options or None)
    except InputError:
        return "no pair was written; the same command begins again"
    done = opened.num_shards - len(opened.missing())
    return f"{done} of {opened.num_shards} shards are committed and stay; the same command makes the others"


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
