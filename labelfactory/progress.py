"""Progress of long loops: a bar in a terminal, elsewhere (a file, a pipe, a service's log) a line every ten seconds."""

import sys
import time
from collections.abc import Callable
from typing import Any

from tqdm import tqdm

EVERY_S = 10.0  # between two lines where there is no terminal; what ends sooner says nothing there
LINE = "{desc}: {n_fmt} of {total_fmt} {unit}, {elapsed} so far, {remaining} left, {rate_fmt}{postfix}"


class Progress(tqdm):
    """``tqdm`` with the same arguments, but made for readers of logs where nobody watches a terminal."""

    def __init__(self, *given: Any, **named: Any) -> None:
        file = named.get("file") or sys.stderr
        self.plain = not file.isatty()
        self.began = self.told = time.time()
        if self.plain:
            named |= {"bar_format": LINE, "mininterval": EVERY_S, "maxinterval": EVERY_S, "delay": EVERY_S}
            named |= {"miniters": 1, "dynamic_ncols": False, "ncols": None}
        super().__init__(*given, **named)

    @staticmethod
    def status_printer(file: Any) -> Callable[[str], None]:
        """Rewrites a terminal's line, appends lines to anything else."""
        if file.isatty():
            printer: Callable[[str], None] = tqdm.status_printer(file)
            return printer

        def write(text: str) -> None:
            if text:
                file.write(f"{text}\n")
                file.flush()

        return write

    def moveto(self, n: int) -> None:
        if not self.plain:
            super().moveto(n)

    def refresh(self, *given: Any, **named: Any) -> Any:
        if not self.plain:
            return super().refresh(*given, **named)
        if time.time() - self.told < EVERY_S:
            return None
        self.told = time.time()
        return super().refresh(*given, **named)

    def close(self) -> None:
        finished = getattr(self, "disable", True)
        if not self.plain or finished:
            super().close()
            return
        self.disable = True
        self._decr_instances(self)
        if self.leave and self.told > self.began:
            self.sp(str(self))
