"""The contract of everything that is trained on pairs: pictures in, an answer, its loss, and what it says of them."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from labelfactory.errors import InputError
from labelfactory.factory.evaluation.predicted import Predicted
from labelfactory.factory.pairs.augment import Batch
from labelfactory.factory.segmenters.settings import TrainingConfig
from labelfactory.factory.segmenters.tasks import Aim
from labelfactory.interpreters.array_types import Float, UInt8

Own = TypeVar("Own", bound="Network")


class Network(nn.Module):
    """Base of all networks of the table ``architectures``.

    A step of training calls ``answer`` and then ``loss``; ``found`` is what evaluation, prediction and validation ask.
    Those parameters of ``__init__`` that are ``Annotated`` with a ``Parameter`` are the network's options. Output and
    input have the same height and width, except for networks with a ``margin``: those see only the pixels that are at
    least ``margin`` away from the border (the original U-Net: 92). ``own_loss``: the network brings its own, so that
    weights of pixels and classes, and other losses, do not apply.
    """

    margin: int = 0
    backbone_prefixes: tuple[str, ...] = ()
    task: str = "semantic"
    aim: Aim | None = None
    own_loss: bool = True

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        if in_channels < 1:
            raise InputError(f"a network needs at least 1 channel, got {in_channels}")
        self.in_channels = in_channels
        self.frozen: tuple[nn.Module, ...] = ()

    def stages(self) -> list[list[nn.Module]]:
        """The backbone's modules from the picture on, a list for each stage; what ``freeze`` counts."""
        raise InputError(f"{type(self).__name__} has no stages that could be frozen: U-Net, FCN and DeepLabv3+ have")

    def freeze(self, count: int) -> None:
        """The first ``count`` stages of the backbone stay as they are, the statistics of their normalisation too.

        InputError where it has fewer.
        """
        stages = self.stages()
        if not 0 <= count <= len(stages):
            raise InputError(f"freeze backbone:{count}: {type(self).__name__} has {len(stages)} stages")
        self.frozen = tuple(module for stage in stages[:count] for module in stage)
        for module in self.frozen:
            module.requires_grad_(False).eval()

    def train(self: Own, mode: bool = True) -> Own:
        """Frozen stages stay in evaluation mode."""
        super().train(mode)
        for module in self.frozen:
            module.eval()
        return self

    def answer(self, images: Float[Tensor, "batch in height width"], batch: Batch) -> Any:
        """What the network makes of the images of a step, in the precision of the training; mostly ``forward``."""
        return self(images)

    @abstractmethod
    def loss(self, answer: Any, batch: Batch, how: TrainingConfig) -> Float[Tensor, ""]:
        """How far the answer is from a batch's labels, in float32."""

    @abstractmethod
    def found(self, images: UInt8[Tensor, "batch height width channels"]) -> list[Predicted]:
        """What the network says of 8-bit images, in evaluation mode."""

    def fitting_size(self, at_least: int) -> int:
        """The smallest side of ``at_least`` pixels or more that an image may have; most networks take any."""
        return at_least

    def saved_options(self, options: dict[str, Any]) -> dict[str, Any]:
        """What a file needs to make this network again, where it was made with ``options``; plain JSON."""
        return options

    def backbone_state(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """A torchvision state dict under this network's parameter names."""
        raise InputError(
            f"{type(self).__name__} has no pretrained backbone: FCN, DeepLabv3+ and torchvision's detectors have"
        )

    def prepare(self, images: UInt8[Tensor, "batch height width channels"]) -> Float[Tensor, "batch in height width"]:
        """8-bit images to the network's input: channels first, 0..1, grey repeated where the network wants colour."""
        x = images.permute(0, 3, 1, 2).to(torch.float32) / 255
        if x.shape[1] == self.in_channels:
            return x.contiguous(memory_format=torch.channels_last)
        if x.shape[1] == 1:
            return x.expand(-1, self.in_channels, -1, -1).contiguous(memory_format=torch.channels_last)
        raise InputError(
            f"images have {x.shape[1]} channels, the network takes {self.in_channels}: convert one of them"
        )
