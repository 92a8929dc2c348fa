"""A thread that reads while what was read is used, a watchdog over it, and memory that is used again."""

import atexit
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar
from weakref import WeakSet

import numpy as np

from labelfactory.errors import WorkError

T = TypeVar("T")
LOOK_S = 1.0  # between two looks of the watchdog


class ReadAhead(Generic[T]):
    """Iterates over ``source`` in a thread that stays at most ``depth`` items ahead.

    ``stuck`` says what a read has been waiting for too long, or None: then waiting ends with a WorkError instead of
    never. The thread is a daemon, so a read that does not come back cannot keep the process alive either. ``ends_s`` is
    how long whoever closes it waits for an item that is under way.
    """

    def __init__(
        self, source: Iterator[T], depth: int, stuck: Callable[[], str | None], ends_s: float = LOOK_S
    ) -> None:
        self._source, self._depth, self._stuck, self._ends_s = source, depth, stuck, ends_s
        self._ready: deque[T] = deque()
        self._change = threading.Condition()
        self._closed = self._ended = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="read-ahead", daemon=True)
        self._thread.start()
        _RUNNING.add(self)

    def _run(self) -> None:
        try:
            for item in self._source:
                with self._change:
                    self._ready.append(item)
                    self._change.notify_all()
                    del item  # its memory may be used again as soon as the consumer has done with it
                    self._change.wait_for(lambda: self._closed or len(self._ready) < self._depth)
                    if self._closed:
                        return
        except BaseException as error:
            self._error = error
        finally:
            with self._change:
                self._ended = True
                self._change.notify_all()

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        with self._change:
            while not self._ready:
                if self._ended:
                    if self._error is not None:
                        raise self._error
                    raise StopIteration
                self._change.wait(LOOK_S)
                stuck = None if self._ready or self._ended else self._stuck()
                if stuck is not None:
                    raise WorkError(stuck)
            item = self._ready.popleft()
            self._change.notify_all()
            return item

    def close(self) -> None:
        """Ends the thread. One that is stuck in a read is left behind, to end when that returns."""
        with self._change:
            self._closed = True
            self._ready.clear()
            self._change.notify_all()
        self._thread.join(timeout=self._ends_s)


_RUNNING: "WeakSet[ReadAhead]" = WeakSet()


@atexit.register
def _close_all() -> None:
    """A thread that still computes while Python is taken down would end the process with an error."""
    for ahead in list(_RUNNING):
        ahead.close()


class Buffers:
    """Arrays whose memory is handed out again once nobody refers to them any more.

    Fresh memory costs more than decoding into it does: the operating system hands it out page by page, zeroed.
    """

    def __init__(self, most: int = 16) -> None:
        self._most = most
        self._arrays: list[np.ndarray] = []
        # Counting references tells who uses an array only where one lock guards all of Python.
        self._counts = getattr(sys, "_is_gil_enabled", lambda: True)()

    def take(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """An array of this shape with whatever is in it; it is the caller's until the last view of it is gone."""
        if not self._counts:
            return np.empty(shape, dtype)
        for i in range(len(self._arrays)):
            array = self._arrays[i]
            # Referred to by the list, by the name here and by the call itself.
            if array.shape == shape and array.dtype == dtype and sys.getrefcount(array) == 3:
                return array
        array = np.empty(shape, dtype)
        self._arrays.append(array)
        del self._arrays[: -self._most]
        return array
