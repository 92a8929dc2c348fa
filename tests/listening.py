"""Which addresses this process, or another, and everything below it listens on: to see that none leaves the machine."""

import ipaddress
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from labelfactory.flows.supervision import descendants


def is_loopback(address: str) -> bool:
    """``address`` is IP:port."""
    ip = ipaddress.ip_address(address.rpartition(":")[0])
    mapped = getattr(ip, "ipv4_mapped", None)
    return (mapped or ip).is_loopback


def listening(pid: int) -> set[str]:
    """IP:port of every listening TCP socket of ``pid`` and the processes below it."""
    pids = {pid, *descendants(pid)}
    return {
        f"{socket.laddr.ip}:{socket.laddr.port}"
        for socket in psutil.net_connections("tcp")
        if socket.pid in pids and socket.status == psutil.CONN_LISTEN
    }


@contextmanager
def watched_sockets(every_s: float = 0.3) -> Iterator[set[str]]:
    """What this process and those below it listen on at any moment of the ``with`` block."""
    seen: set[str] = set()
    over = threading.Event()

    def watch() -> None:
        while not over.wait(every_s):
            seen.update(listening(os.getpid()))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield seen
    finally:
        over.set()
        watcher.join()
