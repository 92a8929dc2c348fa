"""``factory up``: server, work pool, deployments and worker with one command."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from labelfactory.factory.parameter import Parameter, check_fields
from labelfactory.flows.parameters import command_takes


@dataclass(frozen=True)
class UpOrder:
    """A server with workers on this machine."""

    host: Annotated[
        str, Parameter("Address that the server listens on.", pattern=r"[0-9A-Za-z.:_-]+", form="a host's address")
    ] = "127.0.0.1"
    port: Annotated[int, Parameter("Port that the server listens on.", at_least=1, at_most=65535)] = 4200
    workspace: Annotated[
        Path,
        Parameter("Folder where deployed runs read and write; relative paths start here.", place=True, writes="folder"),
    ] = Path("datasets")
    allow: Annotated[
        tuple[str, ...],
        Parameter("Further folder or URL prefix that deployed runs may use; repeatable.", place=True),
    ] = ()
    workers: Annotated[
        int | None, Parameter("Runs at a time.", at_least=1, at_most=64, default="one a GPU, one without")
    ] = None
    deployments: Annotated[
        Path | None,
        Parameter("File of the deployments to make (prefect.yaml).", place=True, default="the package's own"),
    ] = None

    def __post_init__(self) -> None:
        check_fields(self)


@command_takes(UpOrder, "nothing is left running; the same command starts it again")
def up(order: UpOrder) -> None:
    """Start a Prefect server, deploy everything and work; Ctrl-C stops it all.

    A server that PREFECT_API_URL names is used instead of starting one.
    """
    import signal
    from types import FrameType
    from typing import NoReturn

    from labelfactory.flows.running import leave_note, prefect_home, remove_note
    from labelfactory.flows.server import deployments_file
    from labelfactory.flows.supervision import Supervisor
    from labelfactory.flows.up import run

    file = deployments_file(order.deployments)
    prefect_home()
    order.workspace.mkdir(parents=True, exist_ok=True)

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    # SIGINT too: a shell starts background jobs with it ignored, which the worker would inherit and never end.
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    supervisor = Supervisor(typer.echo)
    try:
        run(
            supervisor,
            typer.echo,
            leave_note,
            order.host,
            order.port,
            order.workspace,
            order.allow,
            order.workers,
            file,
        )
    except KeyboardInterrupt:
        typer.echo("stopping: worker, then server")
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):  # impatience must not leave half of it behind
            signal.signal(number, signal.SIG_IGN)
        supervisor.stop()
        remove_note()
    typer.echo("stopped; nothing is left running")
