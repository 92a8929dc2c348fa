"""A PostgreSQL server of Debian's package, for tests: its own data, its own port, localhost alone."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from running_factory import free_port

from labelfactory.flows.supervision import descendants, signal_all

PROGRAMS = Path("/usr/lib/postgresql")


class PostgreSQL:
    """A server that may be killed and started again. ``url`` is where Prefect connects to it."""

    def __init__(self, programs: Path, folder: Path, as_user: list[str]) -> None:
        self._programs, self._folder, self._as_user, self._port = programs, folder, as_user, free_port()
        self.url = f"postgresql+asyncpg://prefect@127.0.0.1:{self._port}/prefect"
        self._data = folder / "data"

    def _run(self, program: str, *arguments: str) -> None:
        command = [*self._as_user, str(self._programs / program), *arguments]
        subprocess.run(command, check=True, cwd=self._folder, stdout=subprocess.DEVNULL)

    def create(self) -> None:
        self._run("initdb", "-D", str(self._data), "-A", "trust", "-U", "prefect", "-N")
        self.start()
        self._run("createdb", "-h", "127.0.0.1", "-p", str(self._port), "-U", "prefect", "prefect")

    def start(self) -> None:
        options = (
            f"-p {self._port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self._folder} -c fsync=off"
        )
        log = self._folder / "log"
        try:
            self._run("pg_ctl", "-D", str(self._data), "-l", str(log), "-w", "-o", options, "start")
        except subprocess.CalledProcessError as error:
            raise RuntimeError(f"PostgreSQL did not start: {log.read_text()[-1000:]}") from error

    def kill(self) -> None:
        """SIGKILL for all of its processes: what it had promised is in the operating system's hands already."""
        pid = int((self._data / "postmaster.pid").read_text().split()[0])
        below = descendants(pid)
        signal_all([pid, *below], signal.SIGKILL)
        while any(map(_runs, (pid, *below))):
            time.sleep(0.05)
        # Their number stands in these, and may be that of a zombie for a while, or of another process by now.
        for file in (self._data / "postmaster.pid", *self._folder.glob(".s.PGSQL.*")):
            file.unlink()

    def stop(self) -> None:
        self._run("pg_ctl", "-D", str(self._data), "-m", "fast", "-w", "stop")


def _runs(pid: int) -> bool:
    """Not yet dead: a zombie waits for its parent alone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@contextmanager
def running_postgresql() -> Iterator[PostgreSQL]:
    """The test is skipped where PostgreSQL is not installed."""
    found = sorted(PROGRAMS.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if not found:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    # Not below pytest's own folder: only root may enter that, and the server must not be root.
    with tempfile.TemporaryDirectory(prefix="factory-postgresql-") as name:
        as_user = list[str]()
        if os.getuid() == 0:
            try:
                pwd.getpwnam("postgres")
            except KeyError:
                pytest.skip("PostgreSQL refuses to run as root, and there is no user postgres")
            as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"]
            shutil.chown(name, "postgres")
        server = PostgreSQL(found[-1].parent, Path(name), as_user)
        server.create()
        try:
            yield server
        finally:
            server.stop()
