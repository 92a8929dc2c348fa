"""``factory verify``: is every byte of a store as it was committed?"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from storage import Report


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
    from storage import repair as mend

    report = _checked(uri, workers)
    if repair and not report.ok:
        for line in map(str, report.findings):
            typer.echo(line)
        mended, failed = mend(report, _shard_maker(uri, generator, interpreter, device))
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

    from storage import verify as check

    with tqdm(desc="verify", unit="shard") as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        return check(uri, workers=workers, progress=progress)


def _shard_maker(
    uri: str, generator: str | None, interpreter: Path | None, device: str
) -> Callable[[int], dict[str, Any]]:
    """Makes any shard again; the models are looked for when the first one is needed."""

    def make(shard: int) -> dict[str, Any]:
        from factory.interpreting import cache_dir
        from factory.production import Job, render_shard
        from interpreters import StyleInterpreter
        from storage import InputError, WorkError, open_store

        spec = open_store(uri).spec
        kept = [interpreter] if interpreter else sorted((cache_dir() / "interpreters").glob("*.safetensors"))
        found = [path for path in kept if StyleInterpreter.load(path).sha256 == spec.interpreter_sha256]
        if not found and interpreter:
            raise InputError(f"{interpreter}: not the interpreter of this dataset ({spec.interpreter_sha256[:12]}...)")
        if not found:
            raise WorkError(
                f"interpreter {spec.interpreter_sha256[:12]}... is not in the cache: name its file with --interpreter"
            )
        job = Job(uri, generator or spec.generator, spec.generator_sha256, str(found[0]), spec, True, device)
        return render_shard(job, *spec.shard_range(shard))

    return make


def _save(path: Path, text: str) -> None:
    from storage import InputError

    try:
        path.write_text(text + "\n")
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}") from error
