"""``factory verify``: is every byte of a store as it was committed?"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from labelfactory.storage import Report


def verify(
    uri: Annotated[str, typer.Argument(help="Path or URL of a store.")],
    workers: Annotated[int, typer.Option(help="Threads that read, hash and decode.")] = 4,
    json: Annotated[Path | None, typer.Option(help="File for the report as JSON.")] = None,
    repair: Annotated[bool, typer.Option("--repair", help="Re-make what is damaged and prove it equal.")] = False,
    generator: Annotated[str | None, typer.Option(help="For repair, where it has moved from its place.")] = None,
    interpreter: Annotated[
        Path | None, typer.Option(help="For repair. [default: found in the cache by its hash]")
    ] = None,
    device: Annotated[str, typer.Option(help="For repair: auto, cpu, cuda or cuda:N.")] = "auto",
) -> None:
    """Compare every byte of a store with what was committed; exit code 0 only where all is as it must be."""
    from labelfactory.storage import repair as mend

    report = _checked(uri, workers)
    if repair and not report.ok:
        for line in map(str, report.findings):
            typer.echo(line)
        found = _interpreter(uri, interpreter)
        mended, failed = mend(
            report, _shard_maker(uri, generator, found, device), found.read_bytes() if found else None
        )
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
    from tqdm import tqdm

    from labelfactory.storage import verify as check

    with tqdm(desc="verify", unit="shard") as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        return check(uri, workers=workers, progress=progress)


def _interpreter(uri: str, given: Path | None) -> Path | None:
    """The file of the dataset's interpreter on this machine: the one given, or one in the cache; by its hash."""
    import hashlib

    from labelfactory.factory.cache import cache_dir
    from labelfactory.storage import InputError, stored_spec

    sha256 = stored_spec(uri).interpreter_sha256
    for path in [given] if given else sorted((cache_dir() / "interpreters").glob("*.safetensors")):
        if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == sha256:
            return path
    if given:
        raise InputError(f"{given}: not the interpreter of this dataset (sha256 {sha256[:12]}...)")
    return None


def _shard_maker(
    uri: str, generator: str | None, interpreter: Path | None, device: str
) -> Callable[[int], dict[str, Any]]:
    """Makes any shard again; the models are looked for (the interpreter in the store too) when one is needed."""

    def make(shard: int) -> dict[str, Any]:
        from labelfactory.errors import InputError, WorkError
        from labelfactory.factory.production.job import Job
        from labelfactory.factory.production.render import render_shard
        from labelfactory.storage import open_store

        spec = open_store(uri).spec
        place = generator or spec.generator
        job = Job(uri, place, spec.generator_sha256, str(interpreter or "no file"), spec, True, device)
        try:
            return render_shard(job, *spec.shard_range(shard))
        except (InputError, WorkError) as error:
            raise WorkError(f"can only be re-made with its generator and interpreter at hand: {error}") from error

    return make


def _save(path: Path, text: str) -> None:
    from labelfactory.storage import InputError

    try:
        path.write_text(text + "\n")
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}") from error
