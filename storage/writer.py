"""Compression, hashing and flushing off the generating thread, with a bound on what waits in memory."""

import threading
from collections.abc import Mapping
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor

import numpy as np
from jaxtyping import Shaped

from labelfactory.errors import InputError
from labelfactory.storage.store import Store


class ShardWriter:
    """Commits shards in the background: ``with ShardWriter(store) as writer: writer.put(k, arrays)``.

    At most ``queue`` shards wait while ``threads`` are being written; then ``put`` waits, so that memory never holds
    more than ``queue + threads`` shards besides the one that is being generated. An error while writing is raised by
    the next ``put`` or at the end, and what waits then is not written. Arrays must not be changed after ``put``.
    """

    def __init__(self, store: Store, queue: int = 1, threads: int = 1) -> None:
        if queue < 0 or threads < 1:
            raise InputError(f"queue {queue} and threads {threads}: expected 0 or more and 1 or more")
        self.store = store
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="shard-writer")
        self._room = threading.BoundedSemaphore(queue + threads)
        self._failure: BaseException | None = None

    def put(self, shard: int, arrays: Mapping[str, Shaped[np.ndarray, "n ..."]]) -> None:
        """Hands one whole shard over; raises what an earlier one failed with."""
        self._room.acquire()
        if self._failure is not None:
            self._room.release()
            self.store.release(shard)
            raise self._failure
        self._pool.submit(self._write, shard, arrays).add_done_callback(self._done)

    def _write(self, shard: int, arrays: Mapping[str, Shaped[np.ndarray, "n ..."]]) -> None:
        if self._failure is not None:
            self.store.release(shard)
            return
        self.store.write_shard(shard, arrays)

    def _done(self, future: Future[None]) -> None:
        try:
            future.result()
        except CancelledError:
            pass
        except BaseException as error:  # also KeyboardInterrupt: it must reach the generating thread
            self._failure = self._failure or error
        finally:
            self._room.release()

    def close(self) -> None:
        """Waits until everything is committed; raises what failed."""
        self._pool.shutdown(wait=True)
        if self._failure is not None:
            raise self._failure

    def __enter__(self) -> "ShardWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self.store.close()
