"""``factory verify``: is every byte of a store as it was committed?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from labelfactory.storage import Report


def verify(
    uri: Annotated[str, typer.Argument(help="Path or URL of a store.")],
    workers: Annotated[int, typer.Option(help="Threads that read, hash and decode.")] = 4,
    json: Annotated[Path | None, typer.Option(help="File for the report as JSON.")] = None,
    repair: Annotated[bool, typer.Option("--repair", help="Re-make what is damaged and prove it equal.")] = False,
    generator: Annotated[str | None, typer.Option(help="For repair, where it has moved from its place.")] = None,
    model: Annotated[
        list[Path] | None,
        typer.Option(
            "--model",
            "--interpreter",
            help="For repair: file of the interpreter or another model; repeatable. [default: from the cache]",
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="For repair: auto, cpu, cuda or cuda:N.")] = "auto",
) -> None:
    """Compare every byte of a store with what was committed; exit code 0 only where all is as it must be."""
    from labelfactory.factory.production.remaking import ModelFiles, shard_maker
    from labelfactory.storage import repair as mend
    from labelfactory.storage import stored_spec

    report = _checked(uri, workers)
    if repair and not report.ok:
        for line in map(str, report.findings):
            typer.echo(line)
        files = ModelFiles(stored_spec(uri), model or [])
        mended, failed = mend(report, shard_maker(uri, files, generator, device), files.read)
        for line in mended:
            typer.echo(f"repaired: {line}")
        for line in failed:
            typer.echo(f"not repaired: {line}", err=True)
        report = _checked(uri, workers)
    for line in report.lines():
        typer.echo(line)
    if json is not None:
        _save(json, report.to_json())
    if not report.ok:
        raise typer.Exit(1)


def _checked(uri: str, workers: int) -> "Report":
    from labelfactory.progress import Progress
    from labelfactory.storage import verify as check

    with Progress(desc="verify", unit="shard") as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        return check(uri, workers=workers, progress=progress)


def _save(path: Path, text: str) -> None:
    from labelfactory.whole_files import whole_file

    with whole_file(path) as file:
        file.write(f"{text}\n".encode())
