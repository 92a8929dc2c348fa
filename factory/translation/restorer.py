"""The network that completes incomplete masks, and its file.

Its decoder is SPADE's: every block is modulated by what is known at its resolution. What is known there comes from a
small encoder of the incomplete mask (and of the picture), in place of the mask sampled down: one pixel in 256 of a
sparse mask says little. It begins with the class of the nearest labelled pixel and learns where that is wrong.
"""

import hashlib
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from labelfactory.array_types import Float, UInt8
from labelfactory.errors import InputError
from labelfactory.factory.parameter import Parameter
from labelfactory.factory.segmenters.segmenter import Segmenter
from labelfactory.factory.translation.condition import condition_of
from labelfactory.factory.translation.degrade import Degradation, parse_degradation
from labelfactory.factory.translation.incomplete import CHANNELS
from labelfactory.factory.translation.method import plain, plain_state
from labelfactory.factory.translation.spade import SPADEResBlk, initialise
from labelfactory.interpreters.classes import LabelClass, parse_class
from labelfactory.tensor_file import TensorFile

FILE = TensorFile("labelfactory_restorer", "restorer", "give one that `factory train-restorer` wrote")
DEEPEST = 8  # channels stop doubling there, in units of the width
FIRST_TRUST = 3.0  # logit of the nearest labelled pixel's class before anything is learned


class Restorer(Segmenter):
    """A segmenter whose "pictures" are incomplete masks (``incomplete.stacked``), with or without the picture.

    So it goes by tiles, mirrored borders and blended seams as any other. ``temperature`` divides its logits where
    probabilities are asked for (Guo et al., arXiv 1706.04599).
    """

    temperature: Tensor

    def __init__(
        self,
        num_classes: int,
        picture_channels: int = 0,
        width: Annotated[int, Parameter("Channels at full size.", at_least=1, at_most=256)] = 16,
        hidden: Annotated[int, Parameter("Channels between what is known and modulation.", at_least=1)] = 32,
        depth: Annotated[int, Parameter("Halvings of the size.", at_least=1, at_most=7)] = 4,
    ) -> None:
        super().__init__(CHANNELS + picture_channels, num_classes)
        self.picture_channels = picture_channels
        widths = [width * min(2**level, DEEPEST) for level in range(depth + 1)]
        seen = 2 * (num_classes + 1) + 1 + picture_channels
        self.encoder = nn.ModuleList([_stage(seen, widths[0], 1), *(_stage(a, b, 2) for a, b in pairwise(widths))])
        self.blocks = nn.ModuleList(
            SPADEResBlk(inside, outside, outside, hidden)
            for inside, outside in pairwise([widths[-1], *reversed(widths)])
        )
        self.last = nn.Conv2d(widths[0], num_classes, 3, padding=1)
        self.trust = nn.Parameter(torch.tensor(FIRST_TRUST))
        self.register_buffer("temperature", torch.tensor(1.0))
        initialise(self.blocks, 1.0)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]

    def prepare(self, images: UInt8[Tensor, "batch height width all"]) -> Float[Tensor, "batch seen height width"]:
        """One-hot classes of mask and nearest pixel, distance d as d / (d + 8), picture in [-1, 1]."""
        if images.shape[3] != self.in_channels:
            told = f"{images.shape[3] - CHANNELS} channels, the restorer takes {self.picture_channels}"
            raise InputError(f"pictures have {told}: convert them, or train with such pictures")
        mask, near, distance = images[..., 0], images[..., 1], images[..., 2].float()
        known = [condition_of(labels.long(), self.num_classes) for labels in (mask, near)]
        parts = [*known, (distance / (distance + 8))[:, None]]
        if self.picture_channels:
            parts.append(images[..., CHANNELS:].permute(0, 3, 1, 2).float() / 127.5 - 1)
        return torch.cat(parts, 1).contiguous(memory_format=torch.channels_last)

    def forward(self, x: Float[Tensor, "batch seen height width"]) -> Float[Tensor, "batch classes height width"]:
        """Logits, uncalibrated."""
        near = x[:, self.num_classes + 1 : 2 * self.num_classes + 1]
        seen = []
        for stage in self.encoder:
            x = stage(x)
            seen.append(x)
        for number, block in enumerate(self.blocks):
            known = seen.pop()
            if number:
                x = F.interpolate(x, known.shape[-2:], mode="nearest")
            x = block(x, known)
        return self.trust * near + self.last(F.leaky_relu(x, 0.2))

    @torch.no_grad()
    def probabilities(
        self, images: UInt8[Tensor, "batch height width all"]
    ) -> Float[Tensor, "batch classes height width"]:
        """Calibrated class probabilities, in evaluation mode, in float32."""
        training = self.training
        self.eval()
        logits = self(self.prepare(images.to(self.temperature.device)))
        self.train(training)
        return (logits.float() / self.temperature).softmax(1)


def _stage(inside: int, outside: int, stride: int) -> nn.Sequential:
    """Two 3x3 convolutions, the first of which may halve the size."""
    layers: list[nn.Module] = []
    for a, step in ((inside, stride), (outside, 1)):
        layers += [nn.Conv2d(a, outside, 3, step, 1, bias=False), nn.BatchNorm2d(outside), nn.ReLU()]
    return nn.Sequential(*layers)


class LoadedRestorer:
    """A restorer of a file: the network, frozen, and what the file says.

    unseen  names of classes of which no pixel was in what it learned from
    """

    def __init__(self, network: Restorer, header: dict[str, Any], sha256: str, where: str) -> None:
        self.network, self.header, self.sha256, self.where = network, header, sha256, where
        self.classes: tuple[LabelClass, ...] = tuple(parse_class(c, where) for c in header["classes"])
        self.degradation: Degradation = parse_degradation(str(header["degrade"]))
        self.unseen = [c.name for c, n in zip(self.classes, header["class_pixels"], strict=True) if not n]

    @property
    def sees_pictures(self) -> bool:
        """Whether it wants the picture beside the mask."""
        return self.network.picture_channels > 0


def save_restorer(path: Path, network: Restorer, classes: tuple[LabelClass, ...], told: dict[str, Any]) -> str:
    """Writes the file; gives its sha256. ``told`` has options, degrade, class_pixels and whatever else is known."""
    header = {"classes": [asdict(c) for c in classes], "picture_channels": network.picture_channels, **told}
    return FILE.save(path, FILE.pack(plain_state(network), header))


def load_restorer(path: str | Path, device: torch.device) -> LoadedRestorer:
    """A restorer that ``save_restorer`` wrote, in evaluation mode. InputError where it is none."""
    where, content = str(path), FILE.read(path)
    header, tensors = FILE.unpack(content, where)
    kinds = {"classes": list, "picture_channels": int, "options": dict, "degrade": str, "class_pixels": list}
    if not all(isinstance(header.get(name), kind) for name, kind in kinds.items()):
        raise InputError(f"{where}: its header does not describe a restorer; {FILE.remedy}")
    try:
        network = Restorer(len(header["classes"]), header["picture_channels"], **header["options"])
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{where}: its header does not describe a restorer ({error}); {FILE.remedy}") from None
    FILE.fill(plain(network), tensors, where)
    network.to(device).to(memory_format=torch.channels_last).requires_grad_(False)  # type: ignore[call-overload]
    return LoadedRestorer(network, header, hashlib.sha256(content).hexdigest(), where)
