"""A field of an order as a person sees it: its help, what its value may be, and whether it names a place.

An order is a frozen dataclass that says what somebody wants made. A field that a person may give is written
``name: Annotated[kind, Parameter("Noun that it is.", ...)] = default``, and nowhere else: the command's option and its
help, the flow's parameter and its form, the check of its value and the check of what a deployed run may touch all
follow from that line.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, replace
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

from labelfactory.errors import InputError
from labelfactory.lazy import member

Number = int | float


@dataclass(frozen=True)
class Parameter:
    """What a person needs to know of a field, and what its value may be.

    help                what it is, in a sentence that begins with the noun
    at_least, at_most   range of a number, both ends included; infinity needs ``at_most=math.inf``
    more_than           lower end that is not included
    choices             words to choose from: a tuple, a mapping of words to what is said of them, or
                        ``"package.module:TABLE"``, a table whose names are the words (looked up when first needed)
    spellings           older words for some of the choices
    pattern, form       what the whole text has to match, and how a person is told
    place               a path, URL or ``builtin:NAME``: a deployed run may only use those that its operator allows
    writes              what is written there ("missing file": unless it exists); that this is possible is tried before
                        the work begins
    place_keys          keys of a mapping whose values are places
    default             what None stands for, where that is a value
    option              name on the command line, where it is not the field's; one letter is a short option
    positional          given by its position on the command line
    """

    help: str
    at_least: Number | None = None
    at_most: Number | None = None
    more_than: Number | None = None
    choices: tuple[str, ...] | Mapping[str, str] | str | None = None
    spellings: Mapping[str, str] = field(default_factory=dict)
    pattern: str | None = None
    form: str = ""
    place: bool = False
    writes: Literal["", "file", "missing file", "folder", "new folder"] = ""
    place_keys: tuple[str, ...] = ()
    default: str = ""
    option: str = ""
    positional: bool = False

    @property
    def words(self) -> tuple[str, ...]:
        """The choices as they are typed."""
        if not isinstance(self.choices, str):
            return tuple(self.choices or ())
        return tuple(member(self.choices))

    @property
    def told(self) -> str:
        """The help with all choices, or with the form of a text."""
        said = self.choices if isinstance(self.choices, Mapping) else {}
        words = [f"{word} ({said[word]})" if said.get(word) else word for word in self.words]
        ending = " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words) or self.form
        return f"{self.help.removesuffix('.')}: {ending}." if ending else self.help

    def check(self, name: str, value: Any) -> None:
        """InputError for a value that cannot be; None always passes, of several values each is looked at."""
        if value is None:
            return
        if isinstance(value, (tuple, list)):
            for one in value:
                self.check(name, one)
            return
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            self._check_range(name, value)
        if self.pattern is not None and not re.fullmatch(self.pattern, value):
            raise InputError(f"{name} is {value}: expected {self.form or self.help}")
        if self.choices is not None and value not in self.words:
            raise InputError(f"{name} {value!r}: expected one of {', '.join(self.words)}")
        if self.place and not str(value):
            raise InputError(f"{name} is empty: expected a path or URL")

    def _check_range(self, name: str, value: Number) -> None:
        low, high, above = self.at_least, self.at_most, self.more_than
        endless = isinstance(value, float) and math.isinf(value) and high != math.inf
        sound = (low is None or value >= low) and (high is None or value <= high) and (above is None or value > above)
        if sound and not endless and value == value:
            return
        start = f"more than {above}" if above is not None else f"{low} or more" if low is not None else "a number"
        if high is not None and high != math.inf:
            start = f"more than {above}, at most {high}" if above is not None else f"{low} to {high}"
        raise InputError(f"{name} is {value}: expected {start}")


@dataclass(frozen=True)
class Wishes:
    """Marks a mapping that may change some of another dataclass's fields; what is not wished for is left out.

    of       that dataclass, or several by name, each as "module:Class" (looked up when first needed); what not all of
             them have says whose it is in its help
    default  says what holds without a wish
    """

    of: type | Mapping[str, str]
    without: tuple[str, ...] = ()
    default: str = ""


@dataclass(frozen=True)
class Part:
    """Marks a dataclass that an order consists of, some of whose fields have a fixed value and are no parameters."""

    fixed: Mapping[str, Any]


class Entry(NamedTuple):
    """A parameter: its type, its default (or ``dataclasses.MISSING``), what is said of it, and the order's field that
    it is a part of ("" where it is a field of the order itself)."""

    kind: Any
    default: Any
    about: Parameter
    part: str = ""


_KNOWN: dict[type, dict[str, Entry]] = {}


def parameters(order: type) -> dict[str, Entry]:
    """What a person may give, by name: the order's own fields, and those of the dataclasses that it consists of."""
    if order not in _KNOWN:
        _KNOWN[order] = _read(order)
    return _KNOWN[order]


def _read(order: type) -> dict[str, Entry]:
    found: dict[str, Entry] = {}
    hints = get_type_hints(order, include_extras=True)
    for entry in fields(order):
        hint = hints[entry.name]
        about = hint.__metadata__[0] if get_origin(hint) is Annotated else None
        if isinstance(about, Parameter):
            new = {entry.name: Entry(hint.__origin__, _default(entry), about)}
        elif isinstance(about, Wishes):
            inner = {k: e for k, e in _wishes(about).items() if k not in about.without}
            new = {
                k: Entry(_optional(e.kind), None, replace(e.about, default=about.default), entry.name)
                for k, e in inner.items()
            }
        elif isinstance(about, Part) or is_dataclass(hint):
            kind, fixed = (hint.__origin__, about.fixed) if isinstance(about, Part) else (hint, {})
            whole = _default(entry)
            values = {} if whole is MISSING else values_of(whole)
            new = {
                k: Entry(e.kind, values.get(k, e.default), e.about, entry.name)
                for k, e in parameters(kind).items()
                if k not in fixed
            }
        else:
            continue
        if twice := found.keys() & new.keys():
            raise TypeError(f"{order.__name__} has two parameters called {', '.join(sorted(twice))}")
        found |= new
    return found


def _wishes(about: Wishes) -> dict[str, Entry]:
    """The fields of the dataclass that is wished of; of several, all their fields, each once."""
    if isinstance(about.of, type):
        return parameters(about.of)
    tables = {}
    for name, place in about.of.items():
        tables[name] = parameters(member(place))
    found: dict[str, Entry] = {}
    for key in dict.fromkeys(key for table in tables.values() for key in table):
        owners = [name for name, table in tables.items() if key in table]
        first, *others = [tables[name][key] for name in owners]
        if any((other.kind, other.about) != (first.kind, first.about) for other in others):
            raise TypeError(f"{' and '.join(owners)} mean different things by {key}")
        told = first.about.help.removesuffix(".") + f" ({', '.join(owners)})."
        found[key] = first if len(owners) == len(tables) else first._replace(about=replace(first.about, help=told))
    return found


def values_of(order: Any) -> dict[str, Any]:
    """Values of an order's parameters by name; wishes that were not made are None."""
    values = {}
    for name, entry in parameters(type(order)).items():
        part = getattr(order, entry.part) if entry.part else order
        if isinstance(part, Mapping):
            values[name] = part.get(name)
        else:
            values[name] = values_of(part)[name] if entry.part else getattr(part, name)
    return values


def _default(entry: Any) -> Any:
    return entry.default if entry.default_factory is MISSING else entry.default_factory()


def _optional(kind: Any) -> Any:
    return kind if type(None) in get_args(kind) else kind | None


def check_fields(order: Any) -> None:
    """For ``__post_init__``: today's word for an older one, and InputError where a value cannot be."""
    for name, (_, _, about, part) in parameters(type(order)).items():
        if not part:
            value = getattr(order, name)
            if isinstance(value, str) and value in about.spellings:
                object.__setattr__(order, name, about.spellings[value])
            about.check(name, getattr(order, name))
