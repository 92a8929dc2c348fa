"""The ``factory`` command line. Exit codes: 0 done, 1 the work failed, 2 the call was wrong (one line says why)."""

import importlib
import os
import pkgutil
import sys
import traceback

import typer

import labelfactory.flows.commands
from labelfactory.errors import InputError, WorkError

app = typer.Typer(
    name="factory",
    help="A labeled-data factory: label a few images, get as many image-label pairs as you want.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for module in pkgutil.iter_modules(labelfactory.flows.commands.__path__):
    function = getattr(importlib.import_module(f"labelfactory.flows.commands.{module.name}"), module.name)
    app.command(name=module.name.replace("_", "-"))(function)


def exit_code(error: BaseException) -> int:
    """2 where the call was wrong, 1 where the work failed."""
    return getattr(error, "exit_code", 1)


def describe(error: BaseException) -> str:
    """One line for the person at the terminal."""
    text = " ".join(str(error).split())
    if isinstance(error, KeyboardInterrupt):
        return "interrupted; the same command resumes"
    if isinstance(error, (InputError, WorkError)):
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
