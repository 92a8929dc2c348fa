"""``factory up``: server, work pool, deployments and worker with one command."""

from pathlib import Path
from typing import Annotated

import typer


def up(
    host: Annotated[str, typer.Option(help="Address that the server listens on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port that the server listens on.", min=1, max=65535)] = 4200,
    workspace: Annotated[
        Path, typer.Option(help="Folder where deployed runs read and write; relative paths start here.")
    ] = Path("datasets"),
    allow: Annotated[
        list[str] | None, typer.Option(help="Further folder or URL prefix that deployed runs may use; repeatable.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Runs at a time. [default: one a GPU, one without]", min=1, max=64)
    ] = None,
    deployments: Annotated[Path | None, typer.Option(help="Deployments to make. [default: the package's own]")] = None,
) -> None:
    """Start a Prefect server, deploy everything and work; Ctrl-C stops it all.

    A server that PREFECT_API_URL names is used instead of starting one.
    """
    import signal
    from types import FrameType
    from typing import NoReturn

    from labelfactory.errors import InputError
    from labelfactory.flows.running import leave_note, remove_note
    from labelfactory.flows.server import deployments_file
    from labelfactory.flows.supervision import Supervisor
    from labelfactory.flows.up import run

    file = deployments_file(deployments)
    try:
        workspace.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{workspace}: cannot be made ({error.strerror}); choose another folder") from None

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    # SIGINT too: a shell starts background jobs with it ignored, which the worker would inherit and never end.
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    supervisor = Supervisor(typer.echo)
    try:
        run(supervisor, typer.echo, leave_note, host, port, workspace, allow or [], workers, file)
    except KeyboardInterrupt:
        typer.echo("stopping: worker, then server")
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):  # impatience must not leave half of it behind
            signal.signal(number, signal.SIG_IGN)
        supervisor.stop()
        remove_note()
    typer.echo("stopped; nothing is left running")
