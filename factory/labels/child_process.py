"""Long work beside the labelling page: in a process of its own, so that who draws never waits for it."""

import multiprocessing
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from labelfactory.errors import InputError, WorkError


class ChildProcess:
    """Calls ``work(pipe, *arguments)`` in a process of its own and hands what it sends to ``hear``.

    ``hear`` is called in a thread of its own; should the work fail, it gets one WorkError that begins with ``failed``.
    ``work`` is a function of a module and sends no plain text.

    Arguments:
        name: of process and thread, for who looks at a list of them.
        failed: how the line begins that says why the work has ended.
        niceness: how far it stands back behind other processes.
    """

    def __init__(
        self,
        work: Callable[..., None],
        arguments: tuple[Any, ...],
        hear: Callable[[Any], None],
        name: str,
        failed: str,
        niceness: int = 5,
    ) -> None:
        context = multiprocessing.get_context("spawn")
        self._here, there = context.Pipe()
        self._hear = hear
        self._process = context.Process(
            target=_main, args=(there, work, arguments, failed, niceness), daemon=True, name=f"labelling: {name}"
        )
        self._process.start()
        there.close()
        self._listener = threading.Thread(target=self._listen, name=f"labelling: {name}", daemon=True)
        self._listener.start()

    @property
    def alive(self) -> bool:
        return self._process.is_alive()

    def send(self, message: Any) -> None:
        """For the work, which receives from its pipe; nothing happens where it has ended."""
        try:
            self._here.send(message)
        except OSError:  # the listener has said so
            return

    def stop(self, patience_s: float = 0.0) -> None:
        """Ends the work; after ``patience_s`` seconds whether it wants to or not."""
        self._process.join(patience_s)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._listener.join(5)

    def _listen(self) -> None:
        while True:
            try:
                message = self._here.recv()
            except (EOFError, OSError):
                return
            self._hear(WorkError(message) if isinstance(message, str) else message)


def _main(pipe: Connection, work: Callable[..., None], arguments: tuple[Any, ...], failed: str, niceness: int) -> None:
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which stops us
    os.nice(niceness)
    try:
        work(pipe, *arguments)
    except EOFError:
        return  # the server has died; who starts it again starts us again
    except (InputError, WorkError, OSError, MemoryError, RuntimeError) as error:
        with suppress(OSError):  # nobody listens
            pipe.send(f"{failed}: {' '.join(str(error).split())[:300] or type(error).__name__}")
