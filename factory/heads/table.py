"""The label kinds: one line for each. ``generate --NAME FILE`` follows from it; nothing else knows their names."""

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from labelfactory.errors import InputError
from labelfactory.lazy import member

if TYPE_CHECKING:
    from labelfactory.factory.heads.head import Head


class Entry(NamedTuple):
    """``where``: module:class of the head, loaded when it is needed. ``help``: of the option that names its file."""

    where: str
    help: str


HEADS = {
    "keypoints": Entry(
        "labelfactory.factory.heads.keypoints:Keypoints", "File that train-keypoints wrote, for an array of keypoints."
    ),
    "values": Entry(
        "labelfactory.factory.heads.values:Values",
        "File that train-interpreter --values wrote, for arrays of continuous labels.",
    ),
    "centres": Entry(
        "labelfactory.factory.heads.centres:Centres",
        "File that train-centres wrote: touching objects are numbered apart.",
    ),
}


@cache
def head_of(name: str) -> "Head":
    """The head of that name, with its own settings; InputError for a kind that this version does not know."""
    if name not in HEADS:
        raise InputError(f"label kind {name!r}: this version knows {', '.join(HEADS)}; use the version that wrote it")
    return member(HEADS[name].where)()
