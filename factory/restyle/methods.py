"""The ways of giving a picture another style, by name. A table that needs no torch; one line adds one.

Each is a class that fulfils ``restyler.Restyler``.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labelfactory.lazy import member

if TYPE_CHECKING:
    import torch

    from labelfactory.factory.restyle.restyler import Restyler, StylePictures

_HERE = "labelfactory.factory.restyle"
METHODS = {
    "adain": f"{_HERE}.adain:AdaINRestyler",
    "perceptual": f"{_HERE}.feed_forward:FeedForwardRestyler",
    "optimise": f"{_HERE}.optimise:OptimisedRestyler",
    "cyclegan": f"{_HERE}.domain:DomainRestyler",
}
TOLD = {
    "adain": "any style picture, by its features' statistics",
    "perceptual": "the style pictures that its network was trained for",
    "optimise": "each picture by itself, minutes long; takes perceptual-weights in place of a model",
    "cyclegan": "the other kind of pictures that train-synthesis learned from; takes no style pictures",
}
TRAINED = {"adain": TOLD["adain"], "perceptual": "a network for the given style pictures alone"}
"""Those that ``factory train-restyler`` trains."""
CHOICES = {
    "nearest": "that whose Gram matrix is nearest to the picture's",
    "random": "drawn for each pair",
    "round-robin": "one after another",
}


def restyler_class(name: str) -> "type[Restyler]":
    """The class of a method of the table."""
    found: Any = member(METHODS[name])
    return found


def open_restyler(
    method: str, path: Path, sha256: str, styles: "StylePictures", settings: Mapping[str, Any], device: "torch.device"
) -> "Restyler":
    """One of the table, made of a model's file; ``settings`` has ``iterations`` for those that go step by step."""
    return restyler_class(method).open(path, sha256, styles, settings, device)
