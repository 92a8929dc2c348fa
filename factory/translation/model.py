"""A trained model of translation and its file: averaged makers and judges, in use and frozen."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from labelfactory.array_types import Float, Int
from labelfactory.errors import InputError
from labelfactory.factory.translation.condition import channels_of, condition_of
from labelfactory.factory.translation.method import plain, plain_state
from labelfactory.factory.translation.methods import METHODS, UNPAIRED, method_class
from labelfactory.interpreters.classes import LabelClass, parse_class
from labelfactory.tensor_file import TensorFile

FILE = TensorFile("labelfactory_synthesis", "synthesis model", "give one that `factory train-synthesis` wrote")


@dataclass(frozen=True)
class Description:
    """What a file says of its model: enough to build its networks.

    source, channels  channels of what pictures are made from, and of pictures
    classes           of the masks that pictures are made from; none where they are made from pictures
    size              height and width of the pictures that it learned from
    """

    method: str
    options: dict[str, Any]
    source: int
    channels: int
    size: tuple[int, int]
    classes: tuple[LabelClass, ...] = ()
    edges: bool = False

    def header(self, **told: Any) -> dict[str, Any]:
        """As JSON, with whatever else is told of the training."""
        return {**asdict(self), "size": list(self.size), "classes": [asdict(c) for c in self.classes], **told}


@dataclass(frozen=True)
class Translation:
    """A model in use; nothing of it is trained."""

    about: Description
    makers: nn.ModuleDict
    judges: nn.ModuleDict
    sha256: str
    where: str
    header: dict[str, Any]

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return next(self.makers.parameters()).device

    def condition(
        self, masks: Int[Tensor, "batch height width"], instances: Int[Tensor, "batch height width"] | None = None
    ) -> Float[Tensor, "batch source height width"]:
        """What ``picture`` takes, of masks (and of object numbers, where the model knows their edges)."""
        if self.about.method in UNPAIRED:
            raise InputError(f"{self.where}: makes pictures of pictures; give a model of spade or pix2pix")
        if self.about.edges and instances is None:
            raise InputError(f"{self.where}: was trained with edges of objects; the masks have no instances")
        given = instances if self.about.edges else None
        return condition_of(masks, len(self.about.classes), given).to(self.device)

    def picture(
        self, source: Float[Tensor, "batch source height width"], maker: str = ""
    ) -> Float[Tensor, "batch channels height width"]:
        """Pictures in [-1, 1], with gradients to ``source``.

        ``maker``: "there" or "back" of a CycleGAN; by default the only or the first one.
        """
        made: Tensor = torch.tanh(self.makers[maker or next(iter(self.makers))](source)).float()
        return made


def save_model(path: Path, makers: nn.ModuleDict, judges: nn.ModuleDict, header: Mapping[str, Any]) -> str:
    """Writes the file; gives its sha256. Spectral normalisation is worked into the weights."""
    tensors = {
        f"{kind}.{name}": value
        for kind, networks in (("makers", makers), ("judges", judges))
        for name, value in plain_state(networks).items()
    }
    return FILE.save(path, FILE.pack(tensors, header))


def load_model(path: str | os.PathLike[str], device: torch.device, sha256: str = "") -> Translation:
    """A model that ``save_model`` wrote, frozen. InputError where it is none, or not the one of ``sha256``."""
    where = os.fspath(path)
    content = FILE.read(where)
    found = hashlib.sha256(content).hexdigest()
    if sha256 and found != sha256:
        raise InputError(f"{where}: is another file (sha256 {found[:12]}..., expected {sha256[:12]}...)")
    header, tensors = FILE.unpack(content, where)
    about = _description(header, where)
    try:
        method = method_class(about.method)(about.source, about.channels, **about.options)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{where}: its header does not describe a model ({error}); {FILE.remedy}") from None
    networks = nn.ModuleDict({"makers": method.makers, "judges": method.judges})
    FILE.fill(plain(networks), tensors, where)
    networks.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    networks.requires_grad_(False).eval()
    return Translation(about, method.makers, method.judges, found, where, header)


def _description(header: dict[str, Any], where: str) -> Description:
    kinds = {"method": str, "options": dict, "source": int, "channels": int, "size": list, "classes": list}
    if not all(isinstance(header.get(name), kind) for name, kind in kinds.items()) or len(header["size"]) != 2:
        raise InputError(f"{where}: its header does not describe a model; {FILE.remedy}")
    if header["method"] not in METHODS:
        raise InputError(f"{where}: is of method {header['method']!r}, which this release does not know")
    classes = tuple(parse_class(c, where) for c in header["classes"])
    about = Description(
        header["method"],
        header["options"],
        header["source"],
        header["channels"],
        (int(header["size"][0]), int(header["size"][1])),
        classes,
        bool(header.get("edges", False)),
    )
    if classes and about.source != channels_of(len(classes), about.edges):
        raise InputError(f"{where}: its header does not describe a model; {FILE.remedy}")
    return about
