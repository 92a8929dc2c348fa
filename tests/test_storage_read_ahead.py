"""Reading ahead: what is ready, errors, the watchdog, and memory that is used again."""

import threading
import time

import numpy as np
import pytest

from labelfactory.storage import WorkError
from labelfactory.storage import read_ahead as module
from labelfactory.storage.read_ahead import Buffers, ReadAhead


def test_everything_comes_in_order_and_errors_come_where_they_arise():
    assert list(ReadAhead(iter(range(100)), 2, lambda: None)) == list(range(100))

    def breaking():
        yield 1
        raise ValueError("broken")

    ahead = ReadAhead(breaking(), 2, lambda: None)
    assert next(ahead) == 1
    with pytest.raises(ValueError, match="broken"):
        next(ahead)


def test_it_stays_only_so_far_ahead_and_ends_when_closed():
    made = []
    ahead = ReadAhead((made.append(i) or i for i in range(100)), 3, lambda: None)
    assert next(ahead) == 0
    time.sleep(0.1)
    assert len(made) <= 5
    ahead.close()
    assert not ahead._thread.is_alive()


def test_a_read_that_never_returns_is_an_error_not_a_hang(monkeypatch):
    monkeypatch.setattr(module, "LOOK_S", 0.01)
    never = threading.Event()
    began = time.monotonic()

    def stuck():
        return "shard 7 does not answer" if time.monotonic() - began > 0.05 else None

    ahead = ReadAhead((never.wait() for _ in range(1)), 2, stuck)
    with pytest.raises(WorkError, match="shard 7 does not answer"):
        next(ahead)
    ahead.close()
    never.set()


def test_memory_is_handed_out_again_only_when_nobody_sees_it():
    buffers, shape, dtype = Buffers(most=2), (4, 3), np.dtype("u1")
    first = buffers.take(shape, dtype)
    second = buffers.take(shape, dtype)
    assert not np.shares_memory(first, second)
    place = first.ctypes.data
    view = first[1:, :2].T
    del first
    assert buffers.take(shape, dtype).ctypes.data != place  # the view still sees it
    assert view.base is not None
    buffers = Buffers()
    place = buffers.take(shape, dtype).ctypes.data
    assert buffers.take(shape, dtype).ctypes.data == place
    assert buffers.take((4, 4), dtype).shape == (4, 4)
