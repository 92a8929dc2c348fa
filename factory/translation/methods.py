"""The ways of learning to make pictures, by name. A table that needs no torch; one line adds one.

A method fulfils ``method.Method`` and is made with the channels of its source and of its pictures.
"""

from typing import TYPE_CHECKING, Any

from labelfactory.lazy import member

if TYPE_CHECKING:
    from labelfactory.factory.translation.method import Method

_HERE = "labelfactory.factory.translation"
METHODS = {
    "spade": f"{_HERE}.spade:Spade",
    "pix2pix": f"{_HERE}.pix2pix:Pix2Pix",
    "cyclegan": f"{_HERE}.cyclegan:CycleGAN",
}
TOLD = {
    "spade": "masks to pictures, modulated by the mask at every resolution",
    "pix2pix": "masks to pictures, a U-Net",
    "cyclegan": "pictures of one kind to pictures of another, without pairs",
}
UNPAIRED = ("cyclegan",)
"""Those that learn from two kinds of pictures that do not belong together."""


def method_class(name: str) -> "type[Method]":
    """The class of a method of the table."""
    found: Any = member(METHODS[name])
    return found
