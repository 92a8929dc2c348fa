"""An artifact that tells of every shard while a flow runs: done, stale, being made by whom, failed why, missing."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from prefect.artifacts import create_markdown_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactUpdate

from labelfactory.storage import Store
from labelfactory.storage.status import Status, look

PAUSE_S = 5.0  # between two looks, at least
LOOKING = 0.05  # share of the time that looking may take, for stores of very many shards
ROWS = 100

Row = tuple[int, int, str, str]  # first and last shard, state, what is known of it
Look = Callable[[], tuple[str, Sequence[Row]]]  # a line for all, and rows of shards that are alike


def shards_of(store: Store) -> Look:
    """What ``factory status`` tells; shards that are done are looked at once."""
    before: list[Status] = []

    def told() -> tuple[str, Sequence[Row]]:
        found = look(store, before.pop() if before else None)
        before.append(found)
        return found.summary(), list(found.runs())

    return told


class Partitions:
    """``with Partitions(uri, look):`` in a flow, whose page then shows the artifact ``partitions`` up to date."""

    def __init__(self, uri: str, look: Look) -> None:
        self._uri, self._look = uri, look
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep_up, name="partitions", daemon=True)
        self._cost_s = 0.0

    def __enter__(self) -> "Partitions":
        self._artifact: Any = create_markdown_artifact(
            self._page(), key="partitions", description=f"Shards of `{self._uri}`"
        )
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._update()

    def _keep_up(self) -> None:
        while not self._ended.wait(max(PAUSE_S, self._cost_s / LOOKING)):
            self._update()

    def _update(self) -> None:
        """A page that could not be told is no reason to end the work."""
        began = time.monotonic()
        try:
            page = self._page()
            with get_client(sync_client=True) as client:
                client.update_artifact(self._artifact, ArtifactUpdate(data=page))
        except Exception as error:
            logging.getLogger(__name__).info("the artifact of partitions was not updated: %r", error)
        self._cost_s = time.monotonic() - began

    def _page(self) -> str:
        summary, rows = self._look()
        lines = [summary, "", "| shards | state | |", "|---|---|---|"]
        for first, last, state, why in rows[:ROWS]:
            said = " ".join(why.split()).replace("|", "/")
            lines.append(f"| {first if first == last else f'{first}-{last}'} | {state} | {said} |")
        if len(rows) > ROWS:
            lines.append(f"\n{len(rows) - ROWS} more rows: `factory status --json {self._uri}`")
        return "\n".join(lines)
