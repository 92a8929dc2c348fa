"""The contract of segmenters: how images go in, what comes out, and what a file has to know to make one again."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from labelfactory.errors import InputError
from labelfactory.interpreters.array_types import Float, UInt8


class Segmenter(nn.Module):
    """Base of all segmenters: ``forward`` maps images in 0..1 to logits, one per class and pixel.

    Output and input have the same height and width, except for networks with a ``margin``: those predict only the
    pixels that are at least ``margin`` away from the border (the original U-Net: 92). A line in ``architectures`` makes
    a segmenter known by name; those parameters of its ``__init__`` that are ``Annotated`` with a ``Parameter`` are its
    options. Whatever is known by name passes tests/segmenter_contract.py.
    """

    margin: int = 0
    backbone_prefixes: tuple[str, ...] = ()

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        if in_channels < 1 or num_classes < 2:
            raise InputError(f"a segmenter needs at least 1 channel and 2 classes, got {in_channels} and {num_classes}")
        self.in_channels = in_channels
        self.num_classes = num_classes

    def fitting_size(self, at_least: int) -> int:
        """The smallest side of ``at_least`` pixels or more that an image may have; most networks take any."""
        return at_least

    def saved_options(self, options: dict[str, Any]) -> dict[str, Any]:
        """What a file needs to make this network again, where it was made with ``options``; plain JSON."""
        return options

    def backbone_state(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """A torchvision state dict under this network's parameter names."""
        raise InputError(f"{type(self).__name__} has no pretrained backbone: FCN and DeepLabv3+ have")

    def prepare(self, images: UInt8[Tensor, "batch height width channels"]) -> Float[Tensor, "batch in height width"]:
        """8-bit images to the network's input: channels first, 0..1, grey repeated where the network wants colour."""
        x = images.permute(0, 3, 1, 2).to(torch.float32) / 255
        if x.shape[1] == self.in_channels:
            return x.contiguous(memory_format=torch.channels_last)
        if x.shape[1] == 1:
            return x.expand(-1, self.in_channels, -1, -1).contiguous(memory_format=torch.channels_last)
        raise InputError(
            f"images have {x.shape[1]} channels, the segmenter takes {self.in_channels}: convert one of them"
        )

    @torch.no_grad()
    def probabilities(
        self, images: UInt8[Tensor, "batch height width channels"]
    ) -> Float[Tensor, "batch classes out_height out_width"]:
        """Class probabilities of 8-bit images, in evaluation mode, in float32."""
        training = self.training
        self.eval()
        device = next(self.parameters()).device
        logits = self(self.prepare(images.to(device)))
        self.train(training)
        return logits.float().softmax(1)
