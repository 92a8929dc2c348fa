"""A field of an order as a person sees it: its help, its range, and whether it names a place."""

import re
from dataclasses import dataclass, fields
from functools import cache
from typing import Annotated, Any, get_origin, get_type_hints

from labelfactory.errors import InputError


@dataclass(frozen=True)
class Parameter:
    """What a person needs to know of a field, and what its value may be.

    place    a path, URL or ``builtin:NAME``: a deployed run may only use those that its operator allows
    pattern  what the whole text has to match
    """

    help: str
    at_least: int | float | None = None
    at_most: int | float | None = None
    pattern: str | None = None
    place: bool = False

    def check(self, name: str, value: Any) -> None:
        """InputError for a value out of range; None always passes."""
        if value is None:
            return
        low, high = self.at_least, self.at_most
        if (low is not None and not value >= low) or (high is not None and not value <= high):
            expected = f"{low} or more" if high is None else f"{low} to {high}"
            raise InputError(f"{name} is {value}: expected {expected}")
        if self.pattern is not None and not re.fullmatch(self.pattern, value):
            raise InputError(f"{name} is {value}: expected {self.help}")
        if self.place and not value:
            raise InputError(f"{name} is empty: expected a path or URL")


@cache
def parameters(order: type) -> dict[str, tuple[Any, Any, Parameter]]:
    """Fields that a person may give: name to type, default (or dataclasses.MISSING) and what is said of each."""
    hints = get_type_hints(order, include_extras=True)
    described = [(entry, hints[entry.name]) for entry in fields(order) if get_origin(hints[entry.name]) is Annotated]
    return {entry.name: (hint.__origin__, entry.default, hint.__metadata__[0]) for entry, hint in described}
