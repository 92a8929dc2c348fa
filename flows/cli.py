"""The ``factory`` command line. Exit codes: 0 done, 1 the work failed, 2 the call was wrong (one line says why),
130 interrupted.

A command is a module in ``commands``; it is loaded when it is called, so that help and small commands cost nothing.
"""

import ast
import importlib
import os
import pkgutil
import sys
import traceback
import warnings
from pathlib import Path
from typing import Annotated, Any

import typer
import typer.core

import labelfactory.flows.commands
from labelfactory.errors import InputError, WorkError

HELP = "A labeled-data factory: label a few images, get as many image-label pairs as you want."
WIDTH = 110  # characters of a line of help, at most


class Commands(typer.core.TyperGroup):
    """The modules of ``commands``, loaded one by one when they are called."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [module.name.replace("_", "-") for module in pkgutil.iter_modules(labelfactory.flows.commands.__path__)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in self.list_commands(ctx):
            return None
        name = cmd_name.replace("-", "_")
        function = getattr(importlib.import_module(f"labelfactory.flows.commands.{name}"), name)
        alone = typer.Typer(add_completion=False, rich_markup_mode=None)
        alone.command(name=cmd_name)(function)
        return typer.main.get_command(alone)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Each command with the first line of its docstring, which is read and not run."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, _first_line(name.replace("-", "_"))) for name in self.list_commands(ctx)])


def _first_line(command: str) -> str:
    source = Path(labelfactory.flows.commands.__path__[0], f"{command}.py").read_text(encoding="utf-8")
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef) and node.name == command:
            return (ast.get_docstring(node) or "").partition("\n")[0]
    return ""


app = typer.Typer(
    name="factory",
    cls=Commands,
    help=HELP,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # brackets in help texts are text
    pretty_exceptions_enable=False,
    context_settings={"max_content_width": WIDTH, "help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"labelfactory {version('labelfactory')}")
        raise typer.Exit


@app.callback()
def _factory(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Version of the program.")
    ] = False,
) -> None:
    pass


def exit_code(error: BaseException) -> int:
    """2 where the call was wrong, 130 where it was interrupted, 1 where the work failed."""
    return 130 if isinstance(error, KeyboardInterrupt) else getattr(error, "exit_code", 1)


def describe(error: BaseException) -> str:
    """One line for the person at the terminal."""
    text = " ".join(str(error).split())
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, (InputError, WorkError)):
        return text
    return f"{type(error).__name__}: {text} (LABELFACTORY_DEBUG=1 shows where)"


def _say_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    """A warning as a line for a person: where in the code it was raised is no matter of theirs."""
    print(f"factory: note: {' '.join(str(message).split())}", file=sys.stderr)


def main() -> None:
    """Runs the command line and turns every error into one line and an exit code."""
    warnings.showwarning = _say_warning
    try:
        app()
    except (Exception, KeyboardInterrupt) as error:  # nothing above could turn it into a line
        if os.environ.get("LABELFACTORY_DEBUG"):
            traceback.print_exc()
        print(f"factory: {describe(error)}", file=sys.stderr)
        sys.exit(exit_code(error))


if __name__ == "__main__":
    main()
