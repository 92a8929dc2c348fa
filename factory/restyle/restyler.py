"""The contract of what gives pictures another style, and the file of one that was trained.

A file holds all that is needed to use it: what VGG16 has to see is in it too.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from labelfactory.array_types import Float
from labelfactory.errors import InputError
from labelfactory.tensor_file import TensorFile

FILE = TensorFile("labelfactory_restyler", "restyler", "give one that `factory train-restyler` wrote")

Picture = Float[Tensor, "3 _ _"]  # sizes may differ from picture to picture
Pictures = Float[Tensor, "batch channels height width"]


@dataclass(frozen=True)
class StylePictures:
    """Style pictures in [-1, 1], three channels each, of any sizes; ``hashes`` are those of their files."""

    pictures: tuple[Picture, ...]
    hashes: tuple[str, ...]
    names: tuple[str, ...]


class Restyler(ABC):
    """Networks and style pictures, ready to use; nothing of them is trained."""

    @classmethod
    @abstractmethod
    def open(
        cls, path: Path, sha256: str, styles: StylePictures, settings: Mapping[str, Any], device: torch.device
    ) -> "Restyler":
        """Made of a model's file ("" as ``sha256``: whichever it is). InputError where it does not fit."""

    @abstractmethod
    def restyle(self, pictures: Pictures, styles: Sequence[int], strength: float) -> Pictures:
        """Colour pictures in [-1, 1] of any size, each in the style of that number; each depends on itself alone."""


def checked_hash(content: bytes, where: Path, sha256: str) -> None:
    """InputError unless these are the bytes of that hash, or none is asked for."""
    found = hashlib.sha256(content).hexdigest()
    if sha256 and found != sha256:
        raise InputError(f"{where}: is another file (sha256 {found[:12]}..., expected {sha256[:12]}...)")


def read_restyler(path: Path, method: str, sha256: str = "") -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Header and tensors of a restyler's file; InputError where it is none, or of another method."""
    content = FILE.read(path)
    checked_hash(content, path, sha256)
    header, tensors = FILE.unpack(content, str(path))
    if not (isinstance(header.get("method"), str) and isinstance(header.get("options"), dict)):
        raise InputError(f"{path}: its header does not describe a restyler; {FILE.remedy}")
    if header["method"] != method:
        raise InputError(f"{path}: is of method {header['method']}; the method asked for is {method}")
    return header, tensors
