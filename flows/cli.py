"""The ``factory`` command line. Exit codes: 0 done, 1 the work failed, 2 the call was wrong (one line says why)."""

import os
import sys
import traceback

import typer

from flows.commands.demo import demo
from flows.commands.generate import generate
from flows.commands.plan import plan
from flows.commands.train_interpreter import train_interpreter
from flows.commands.up import up

app = typer.Typer(
    name="factory",
    help="A labeled-data factory: label a few images, get as many image-label pairs as you want.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (demo, generate, train_interpreter, plan, up):
    app.command(name=command.__name__.replace("_", "-"))(command)


def exit_code(error: BaseException) -> int:
    """2 where the call was wrong, 1 where the work failed."""
    import factory.errors
    import interpreters.errors
    import storage.errors

    wrong_call = (factory.errors.InputError, interpreters.errors.InputError, storage.errors.InputError)
    return 2 if isinstance(error, wrong_call) else 1


def describe(error: BaseException) -> str:
    """One line for the person at the terminal."""
    import factory.errors
    import interpreters.errors
    import storage.errors

    known = (
        factory.errors.InputError,
        factory.errors.WorkError,
        interpreters.errors.InputError,
        storage.errors.InputError,
        storage.errors.WorkError,
    )
    text = " ".join(str(error).split())
    if isinstance(error, KeyboardInterrupt):
        return "interrupted; the same command resumes"
    if isinstance(error, known):
        return text
    return f"{type(error).__name__}: {text} (LABELFACTORY_DEBUG=1 shows where)"


def main() -> None:
    """Runs the command line and turns every error into one line and an exit code."""
    try:
        app()
    except (Exception, KeyboardInterrupt) as error:  # the last place where an error can become a line
        if os.environ.get("LABELFACTORY_DEBUG"):
            traceback.print_exc()
        print(f"factory: {describe(error)}", file=sys.stderr)
        sys.exit(exit_code(error))


if __name__ == "__main__":
    main()
