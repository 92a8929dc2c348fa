"""An order's fields as the parameters of a command and of a flow, so that each is written once: in its dataclass."""

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import MISSING
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

from labelfactory.factory.parameter import Entry, parameters
from labelfactory.factory.taking import list_outputs, take_order
from labelfactory.flows.access import permitted_path
from labelfactory.flows.interruption import said_when_interrupted

Order = TypeVar("Order")
Flow = TypeVar("Flow", bound=Callable[..., Any])


def command_takes(
    order: type[Order], kept: str | Callable[[Order], str], **defaults: Any
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """For a command of the command line: options for all fields; the function is called with the order.

    ``kept`` says what an interruption leaves and what the same command then does; ``defaults`` differ from the order's.
    """

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        entries = parameters(order)

        @functools.wraps(function)
        def command(**given: Any) -> None:
            taken = take_order(order, {name: given.pop(name) for name in entries})
            with said_when_interrupted(lambda: kept if isinstance(kept, str) else kept(taken)):
                try:
                    function(taken, **given)
                finally:
                    list_outputs(taken)

        _sign(command, entries, defaults, _option, list(inspect.signature(function).parameters.values())[1:])
        command.takes = order  # type: ignore[attr-defined]
        return command

    return decorate


def flow_takes(order: type, **defaults: Any) -> Callable[[Flow], Flow]:
    """For a flow with ``**given``: parameters of a validated form, described in the docstring, where Prefect looks."""

    def decorate(function: Flow) -> Flow:
        entries = parameters(order)
        told = "".join(f"\n        {name}: {_description(entry)}" for name, entry in entries.items())
        text = inspect.cleandoc(function.__doc__ or "") + ("" if "Args:" in (function.__doc__ or "") else "\n\nArgs:")
        function.__doc__ = text.replace("Args:", f"Args:{told}", 1).replace("\n        ", "\n    ")
        own = [e for e in inspect.signature(function).parameters.values() if e.kind is not e.VAR_KEYWORD]
        _sign(function, entries, defaults, _field, own)
        function.takes = order  # type: ignore[attr-defined]
        return function

    return decorate


def permitted_order(order: type[Order], given: Mapping[str, Any]) -> Order:
    """The order of a flow's parameters, with every place checked and made absolute in a deployed run."""
    return take_order(order, {name: _permitted(name, value, parameters(order)[name]) for name, value in given.items()})


def _permitted(name: str, value: Any, entry: Entry) -> Any:
    about = entry.about
    if value is None or not (about.place or about.place_keys):
        return value
    if isinstance(value, Mapping):
        return {k: permitted_path(name, str(v)) if k in about.place_keys else v for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [permitted_path(name, str(one)) for one in value]
    return permitted_path(name, str(value))


def _sign(
    function: Callable[..., Any],
    entries: Mapping[str, Entry],
    defaults: Mapping[str, Any],
    describe: Callable[[str, Entry], Any],
    own: list[inspect.Parameter],
) -> None:
    """Gives a function the signature that typer or Prefect reads: the entries, then its own parameters."""
    taken = []
    for name, entry in entries.items():
        default = defaults.get(name, entry.default)
        if default is MISSING:
            default = inspect.Parameter.empty
        elif isinstance(default, (tuple, dict)):
            default = None if not default else list(default)
        annotation = describe(name, entry._replace(default=default))
        taken.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation))
    own = [entry.replace(kind=inspect.Parameter.KEYWORD_ONLY) for entry in own]
    whole = [*taken, *own]
    function.__signature__ = inspect.Signature(whole)  # type: ignore[attr-defined]
    function.__annotations__ = {entry.name: entry.annotation for entry in whole}


def _plain(entry: Entry, mapping: Any) -> Any:
    """The type that a form or the command line takes: texts for paths, lists for tuples."""
    kind = entry.kind
    inner = [_plain(entry._replace(kind=one, default=...), mapping) for one in get_args(kind) if one is not type(None)]
    if get_origin(kind) is dict:
        plain: Any = mapping
    elif get_origin(kind) is tuple:
        plain = list[_plain(entry._replace(kind=get_args(kind)[0], default=...), mapping)]  # type: ignore[misc]
    elif inner:
        plain = inner[0]
    else:
        plain = str if kind is Path else kind
    return plain | None if type(None) in get_args(kind) or entry.default is None else plain


def _option(name: str, entry: Entry) -> Any:
    import typer

    about = entry.about
    told = about.told + (f" [default: {about.default}]" if about.default and entry.default in (None, "") else "")
    kind = _plain(entry, list[str])
    metavar = _metavar(entry, kind)
    if about.positional:
        return Annotated[kind, typer.Argument(help=told, metavar=metavar)]
    names = [f"-{about.option}" if len(about.option) == 1 else f"--{about.option}"] if about.option else []
    if names and bool in (kind, *get_args(kind)):
        names = [f"--{about.option}/--no-{about.option}"]
    return Annotated[kind, typer.Option(*names, help=told, metavar=metavar)]


def _metavar(entry: Entry, kind: Any) -> str | None:
    """What stands for the value in the help."""
    inside = [inner for one in (kind, *get_args(kind)) for inner in (one, *get_args(one))]
    if dict in (get_origin(entry.kind), *map(get_origin, get_args(entry.kind))):
        return entry.about.form or "NAME=VALUE"
    if entry.about.place:
        return "PATH" if Path in (entry.kind, *get_args(entry.kind)) else "URI"
    names = {bool: None, int: "INTEGER", float: "NUMBER"}
    return next((names[one] for one in inside if one in names), "WORD" if entry.about.choices else "TEXT")


def _field(name: str, entry: Entry) -> Any:
    from pydantic import Field

    about = entry.about
    kind = _plain(entry, dict[str, Any])
    if about.choices is not None:
        words: Any = Literal[about.words]
        kind = list[words] if get_origin(kind) is list else words | None if type(None) in get_args(kind) else words
    limits: dict[str, Any] = {"ge": about.at_least, "gt": about.more_than, "min_length": 1 if about.place else None}
    limits["le"] = about.at_most if about.at_most != float("inf") else None
    limits["pattern"] = None if about.pattern is None else f"^({about.pattern})$"
    if list in (get_origin(kind), *map(get_origin, get_args(kind))):  # the range is that of each entry
        whole = kind if get_origin(kind) is list else next(one for one in get_args(kind) if get_origin(one) is list)
        ranges = {name: limits[name] for name in ("ge", "gt", "le") if limits[name] is not None}
        each = list[Annotated[get_args(whole)[0], Field(**ranges)]] if ranges else whole  # type: ignore[misc]
        kind = each if get_origin(kind) is list else each | None
        limits = {"min_length": 1 if entry.default is inspect.Parameter.empty else None}
    return Annotated[kind, Field(**{name: limit for name, limit in limits.items() if limit is not None})]


def _description(entry: Entry) -> str:
    about = entry.about
    return about.told + (f" By default {about.default}." if about.default and entry.default in (None, "") else "")
