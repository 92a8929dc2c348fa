"""VGG16 and ResNet-50/101 as feature extractors, with torchvision's parameter names so that its weights load."""

from pathlib import Path

import torch
from torch import Tensor, nn

from labelfactory.errors import InputError
from labelfactory.factory.checkpoints.torchvision_weights import read_weights
from labelfactory.factory.segmenters.network import Network
from labelfactory.interpreters.array_types import Float

# Channel statistics of ImageNet, which torchvision's weights expect.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

VGG16 = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))  # configuration D
RESNET_BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}


class ImageNetInput(nn.Module):
    """Images in 0..1 to zero mean and unit variance per channel."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).reshape(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD).reshape(1, 3, 1, 1), persistent=False)

    def forward(self, x: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 3 height width"]:
        """Normalised images."""
        return (x - self.mean) / self.std


def vgg16_features() -> nn.Sequential:
    """VGG16's thirteen convolutions and five poolings (arXiv 1409.1556, configuration D), named as torchvision's.

    Pooling rounds sizes up, so that every pixel is seen.
    """
    layers: list[nn.Module] = []
    channels = 3
    for group in VGG16:
        for width in group:
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
            channels = width
        layers.append(nn.MaxPool2d(2, ceil_mode=True))
    return nn.Sequential(*layers)


class Bottleneck(nn.Module):
    """1x1, 3x3 (with the stride, as in torchvision) and 1x1 convolutions around a shortcut (He et al., 1512.03385)."""

    def __init__(self, in_channels: int, width: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        out = 4 * width
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=dilation, dilation=dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or in_channels != out:
            self.downsample = nn.Sequential(nn.Conv2d(in_channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch out h w"]:
        """relu(F(x) + shortcut(x))."""
        y = torch.relu(self.bn1(self.conv1(x)))
        y = torch.relu(self.bn2(self.conv2(y)))
        return torch.relu(self.bn3(self.conv3(y)) + self.downsample(x))


class ResNet(nn.Module):
    """ResNet-50 or -101 up to its last feature map, at an output stride of 32, 16 or 8 by atrous convolution.

    Where a stage no longer strides, the following convolutions are dilated instead (DeepLab, arXiv 1706.05587,
    section 3.1); ``multi_grid`` multiplies the dilations of the last stage's three blocks (section 3.2.1).
    """

    def __init__(self, depth: int = 50, output_stride: int = 16, multi_grid: tuple[int, int, int] = (1, 2, 4)) -> None:
        super().__init__()
        if depth not in RESNET_BLOCKS:
            raise InputError(f"there is no ResNet-{depth} here: choose {' or '.join(map(str, RESNET_BLOCKS))}")
        if output_stride not in (8, 16, 32):
            raise InputError(f"an output stride of {output_stride} is not possible: choose 8, 16 or 32")
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        channels, stride, dilation = 64, 4, 1
        for stage, blocks in enumerate(RESNET_BLOCKS[depth]):
            step = 1 if stage == 0 else 2
            if stride * step > output_stride:
                dilation, step = dilation * step, 1
            stride *= step
            layer = []
            for block in range(blocks):
                grid = multi_grid[block] if stage == 3 and output_stride < 32 else 1
                layer.append(Bottleneck(channels, 64 * 2**stage, step if block == 0 else 1, dilation * grid))
                channels = 4 * 64 * 2**stage
            self.add_module(f"layer{stage + 1}", nn.Sequential(*layer))

    def stages(self) -> list[list[nn.Module]]:
        """The first convolution, and the four stages."""
        return [[self.conv1, self.bn1], *([self.get_submodule(f"layer{stage}")] for stage in (1, 2, 3, 4))]

    def forward(
        self, x: Float[Tensor, "batch 3 height width"]
    ) -> tuple[Float[Tensor, "batch 256 h4 w4"], Float[Tensor, "batch 2048 h w"]]:
        """Low-level features at stride 4 (after layer1) and the last features at the output stride."""
        x = torch.relu(self.bn1(self.conv1(x)))
        x = nn.functional.max_pool2d(x, 3, stride=2, padding=1)
        low = self.get_submodule("layer1")(x)
        x = low
        for stage in (2, 3, 4):
            x = self.get_submodule(f"layer{stage}")(x)
        return low, x


def initialise(module: nn.Module) -> None:
    """He initialisation of every convolution below ``module``."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def load_backbone_weights(segmenter: Network, path: Path) -> None:
    """Load torchvision's weights of VGG16, ResNet or MobileNetV2 (``.pth`` or ``.safetensors``) into a backbone.

    The classification layer is left out. Raises ``InputError`` where the file does not fit the network.
    """
    state = read_weights(path, "the backbone")
    own = segmenter.state_dict()
    given = segmenter.backbone_state(state)
    wanted = {k for k in own if k.startswith(segmenter.backbone_prefixes) and not k.endswith("num_batches_tracked")}
    missing = sorted(wanted - given.keys())
    wrong = [k for k in sorted(wanted & given.keys()) if given[k].shape != own[k].shape]
    if missing or wrong:
        what = f"lacks {missing[0]}" if missing else f"has {wrong[0]} as {tuple(given[wrong[0]].shape)}"
        raise InputError(f"{path} {what} (of {len(missing) + len(wrong)} that do not fit): is it of another network?")
    segmenter.load_state_dict({k: given[k] for k in given if k in own}, strict=False)
