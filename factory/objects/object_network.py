"""What networks of objects and key points share: their aim, and how an answer becomes predictions."""

import math
from abc import abstractmethod
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from labelfactory.factory.evaluation.predicted import Predicted
from labelfactory.factory.parameter import Parameter
from labelfactory.factory.segmenters.network import Network
from labelfactory.factory.segmenters.tasks import Aim
from labelfactory.factory.segmenters.unet import UNet
from labelfactory.interpreters.array_types import Float, UInt8

Width = Annotated[int, Parameter("Channels at full resolution.", at_least=1, at_most=1024)]
Depth = Annotated[int, Parameter("Poolings.", at_least=1, at_most=8)]


class ObjectNetwork(Network):
    """Base of networks with an ``aim``: ``forward`` answers, ``loss`` measures the answer, ``decoded`` reads it."""

    aim: Aim

    def __init__(self, in_channels: int, aim: Aim) -> None:
        super().__init__(in_channels)
        self.aim, self.task = aim, aim.task
        self.num_classes = len(aim.classes)

    def stages(self) -> list[list[nn.Module]]:
        """Those of its U-Net, where it stands on one."""
        own = getattr(self, "body", None)
        return own.stages() if isinstance(own, UNet) else super().stages()

    def channels(self, labels: Tensor) -> Tensor:
        """Place of each class id among the countable classes."""
        table = torch.zeros(256, dtype=torch.int64, device=labels.device)
        table[self.aim.things] = torch.arange(len(self.aim.things), device=labels.device)
        return table[labels]

    @abstractmethod
    def decoded(self, answer: Any, height: int, width: int) -> list[Predicted]:
        """Predictions of each image of a batch of this size, from the network's answer in evaluation mode."""

    @torch.no_grad()
    def found(self, images: UInt8[Tensor, "batch height width channels"]) -> list[Predicted]:
        """What the network says of 8-bit images, in evaluation mode."""
        training = self.training
        self.eval()
        answer = self(self.prepare(images))
        said = self.decoded(answer, images.shape[1], images.shape[2])
        self.train(training)
        return said


def body(in_channels: int, width: int, depth: int) -> nn.Module:
    """A U-Net up to its last features: ``width`` channels at full resolution, for pictures of few pixels."""
    network = UNet(in_channels, 2, width, depth)
    network.score = nn.Identity()  # type: ignore[assignment]
    return network


def head(in_channels: int, out_channels: int, hidden: int = 32, prior: float | None = None) -> nn.Sequential:
    """A 3 x 3 and a 1 x 1 convolution; with a ``prior`` its sigmoid starts there (focal loss, 1708.02002, sec. 4.1)."""
    last = nn.Conv2d(hidden, out_channels, 1)
    if prior is not None:
        nn.init.constant_(last.bias, math.log(prior / (1 - prior)))  # type: ignore[arg-type]
    return nn.Sequential(nn.Conv2d(in_channels, hidden, 3, padding=1), nn.ReLU(inplace=True), last)


def peaks_of(
    heat: Float[Tensor, "batch classes height width"], most: int, window: int = 3
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Score, class, row and column of the ``most`` highest local maxima of each image: a maximum over ``window``
    takes the place of non-maximum suppression (1904.07850, section 4.1)."""
    highest = nn.functional.max_pool2d(heat, window, 1, window // 2)
    kept = heat.where(heat == highest, heat.new_zeros(()))
    width = heat.shape[-1]
    scores, index = kept.flatten(1).topk(min(most, kept[0].numel()))
    label, place = index // kept[0, 0].numel(), index % kept[0, 0].numel()
    return scores, label, place // width, place % width
