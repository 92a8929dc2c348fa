"""An order's fields as the parameters of a command and of a flow, so that each is written once: in its dataclass."""

import inspect
from collections.abc import Callable
from dataclasses import MISSING
from typing import Annotated, Any, Protocol, TypeVar

from labelfactory.factory.parameter import Parameter, parameters
from labelfactory.factory.production.order import Order
from labelfactory.flows.access import permitted

Function = TypeVar("Function", bound=Callable[..., Any])


class Decorator(Protocol):
    """Gives back the function that it was given."""

    def __call__(self, function: Function, /) -> Function: ...


def _take_order(without: tuple[str, ...], defaults: dict[str, Any], describe: Callable[[Parameter], Any]) -> Decorator:
    """A decorator that puts the order's fields where the function has ``**order``."""

    def decorate(function: Function) -> Function:
        taken = []
        for name, (kind, default, about) in parameters(Order).items():
            if name not in without:
                default = defaults.get(name, default)
                default = inspect.Parameter.empty if default is MISSING else default
                annotation = Annotated[kind, describe(about)]  # type: ignore[valid-type]
                taken.append(
                    inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
                )
        signature = inspect.signature(function)
        own = [entry for entry in signature.parameters.values() if entry.kind is not inspect.Parameter.VAR_KEYWORD]
        function.__signature__ = signature.replace(parameters=[*taken, *own])  # type: ignore[attr-defined]
        function.__annotations__ = {entry.name: entry.annotation for entry in (*taken, *own)}
        return function

    return decorate


def command_takes_order(without: tuple[str, ...] = (), **defaults: Any) -> Decorator:
    """For a command of the command line: options with the order's help texts."""
    import typer

    return _take_order(without, defaults, lambda about: typer.Option(help=about.help))


def flow_takes_order(**defaults: Any) -> Decorator:
    """For a flow: parameters of a validated form, described in the docstring, where Prefect looks for that."""
    from pydantic import Field

    def describe(about: Parameter) -> Any:
        pattern = None if about.pattern is None else f"^({about.pattern})$"
        shortest = 1 if about.place else None
        return Field(ge=about.at_least, le=about.at_most, pattern=pattern, min_length=shortest)

    def decorate(function: Function) -> Function:
        told = "".join(f"\n        {name}: {about.help}" for name, (_, _, about) in parameters(Order).items())
        function.__doc__ = (function.__doc__ or "").replace("Args:", f"Args:{told}", 1)
        return _take_order((), defaults, describe)(function)

    return decorate


def permitted_order(given: dict[str, Any]) -> dict[str, Any]:
    """``given`` with every place checked and made absolute in a deployed run."""
    places = {name for name, (_, _, about) in parameters(Order).items() if about.place}
    return {name: permitted(name, value) if name in places else value for name, value in given.items()}
