"""Independent jobs on all cores, each with torch's own threading switched off.

Splitting every small product across cores would make them wait for each other hundreds of times per image, and spin
while another process has the core; whole jobs side by side meet only at the end.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any

import torch


class Workers:
    """As many workers as torch has threads (``torch.set_num_threads``) on the CPU; one on any other device."""

    def __init__(self, device: torch.device):
        self._threads = torch.get_num_threads()
        self.count = self._threads if device.type == "cpu" else 1
        self._pool: ThreadPoolExecutor | None = None

    def __enter__(self) -> "Workers":
        if self.count > 1:
            torch.set_num_threads(1)
            self._pool = ThreadPoolExecutor(self.count, thread_name_prefix="interpreter")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool:
            self._pool.shutdown(cancel_futures=True)
            torch.set_num_threads(self._threads)

    def run(self, job: Callable[..., None], calls: Sequence[tuple[Any, ...]]) -> None:
        """``job(*call)`` for every call; returns when all are done, and raises what any of them raised."""
        if self._pool is None:
            for call in calls:
                job(*call)
            return

        def guarded(call: tuple[Any, ...]) -> None:
            with torch.no_grad():  # gradient mode is a property of the thread
                job(*call)

        for _ in self._pool.map(guarded, calls):
            pass
