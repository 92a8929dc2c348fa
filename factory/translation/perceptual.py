"""How alike two pictures look: distances of features (Johnson et al., arXiv 1603.08155) and LPIPS (1801.03924).

The features are those of VGG16 with somebody's weights (torchvision's names), or of a discriminator of ours.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from labelfactory.array_types import Float
from labelfactory.errors import InputError
from labelfactory.factory.checkpoints.torchvision_weights import fill, read_weights
from labelfactory.factory.segmenters.backbones import ImageNetInput, vgg16_features

TAPS = (3, 8, 15, 22, 29)  # relu1_2, relu2_2, relu3_3, relu4_3, relu5_3 among ``features`` of torchvision's VGG16
NAMES = ("relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3")
# LPIPS normalises colours in [-1, 1] by these (its published weights expect it); nearly ImageNet's statistics.
LPIPS_SHIFT, LPIPS_SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)

Pictures = Float[Tensor, "batch channels height width"]


Eyes = Callable[[Tensor], list[Tensor]]
"""Whatever gives features of pictures in [-1, 1], with gradients."""


class VGG16(nn.Module):
    """VGG16's features up to a layer, frozen; grey pictures are repeated."""

    def __init__(self, layers: Sequence[str] = NAMES) -> None:
        super().__init__()
        self.taps = tuple(TAPS[NAMES.index(name)] for name in layers)
        layers_of = list(vgg16_features())[: max(self.taps) + 1]
        for module in layers_of:
            if isinstance(module, nn.ReLU):
                module.inplace = False  # features that are looked at must stay what they are
            if isinstance(module, nn.MaxPool2d):
                module.ceil_mode = False  # as torchvision's, whose weights and LPIPS's are made for it
        self.features = nn.Sequential(*layers_of)
        self.normalise = ImageNetInput()
        self.requires_grad_(False).eval()

    def forward(self, pictures: Pictures) -> list[Tensor]:
        """Features of the layers, lowest first."""
        return self.seen(self.normalise((_coloured(pictures) + 1) / 2))

    def seen(self, x: Float[Tensor, "batch 3 height width"]) -> list[Tensor]:
        """Features of pictures that are normalised already."""
        found = []
        x = x.contiguous(memory_format=torch.channels_last)
        for number, layer in enumerate(self.features):
            x = layer(x)
            if number in self.taps:
                found.append(x)
        return found


def _coloured(pictures: Pictures) -> Tensor:
    return pictures.expand(-1, 3, -1, -1) if pictures.shape[1] == 1 else pictures


def load_vgg16(path: Path, layers: Sequence[str] = NAMES) -> VGG16:
    """VGG16 with the weights of a file of torchvision's names; InputError where one is missing or does not fit."""
    network = VGG16(layers)
    fill(network, read_weights(path, "VGG16"), path, "VGG16")
    return network


def feature_reconstruction(eyes: Eyes, made: Pictures, real: Pictures) -> Float[Tensor, ""]:
    """Mean over the layers of the mean squared difference of features, |phi(s) - phi(y)|^2 / CHW (equation 2).

    Each layer's is divided by the mean square of the real picture's features, so that layers of any scale count alike.
    """
    with torch.no_grad():
        wanted = [f.float() for f in eyes(real)]
    parts = [
        F.mse_loss(m.float(), w) / w.square().mean().clamp_min(1e-6) for m, w in zip(eyes(made), wanted, strict=True)
    ]
    return torch.stack(parts).mean()


def gram(features: Float[Tensor, "batch channels h w"]) -> Float[Tensor, "batch channels channels"]:
    """G = phi phi^T / CHW (equation 3)."""
    batch, channels, height, width = features.shape
    flat = features.float().reshape(batch, channels, height * width)
    return flat @ flat.transpose(1, 2) / (channels * height * width)


def style_reconstruction(
    eyes: Eyes, made: Pictures, style: Float[Tensor, "styles channels high wide"]
) -> Float[Tensor, ""]:
    """Sum over the layers of the squared Frobenius norm of the difference of Gram matrices (equation 4), batch mean.

    The two may differ in size; one style may serve all pictures.
    """
    with torch.no_grad():
        wanted = [gram(f) for f in eyes(style)]
    parts = [(gram(m) - w).square().sum((1, 2)).mean() for m, w in zip(eyes(made), wanted, strict=True)]
    return torch.stack(parts).sum()


class LPIPS(nn.Module):
    """Learned perceptual distance, VGG16's version 0.1 (Zhang et al., equation 1): 0 for equal pictures."""

    def __init__(self) -> None:
        super().__init__()
        self.vgg = VGG16()
        self.weights = nn.ParameterList(torch.zeros(1, c, 1, 1) for c in (64, 128, 256, 512, 512))
        self.register_buffer("shift", torch.tensor(LPIPS_SHIFT).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("scale", torch.tensor(LPIPS_SCALE).view(1, 3, 1, 1), persistent=False)
        self.requires_grad_(False).eval()

    shift: Tensor
    scale: Tensor

    def forward(self, a: Pictures, b: Pictures) -> Float[Tensor, "batch"]:
        """Distance of each pair of pictures in [-1, 1] of one size."""
        seen = [self.vgg.seen((_coloured(x) - self.shift) / self.scale) for x in (a, b)]
        total = torch.zeros(len(a), device=a.device)
        for w, x, y in zip(self.weights, *seen, strict=True):
            difference = (_unit(x.float()) - _unit(y.float())).square()
            total = total + (w * difference).sum(1).mean((1, 2))
        return total


def _unit(features: Tensor) -> Tensor:
    return features / (features.square().sum(1, keepdim=True).sqrt() + 1e-10)


def load_lpips(path: Path) -> LPIPS:
    """LPIPS from a file with VGG16's weights and ``lin0.weight`` to ``lin4.weight``; InputError where they are not."""
    state, network = read_weights(path, "VGG16"), LPIPS()
    fill(network.vgg, state, path, "VGG16")
    for number, weight in enumerate(network.weights):
        found = state.get(f"lin{number}.weight", state.get(f"lin{number}.model.1.weight"))
        if found is None or found.shape != weight.shape:
            raise InputError(f"{path}: has no lin{number}.weight of {tuple(weight.shape)}; LPIPS needs its own weights")
        weight.data.copy_(found)
    return network


def discriminator_eyes(discriminator: nn.Module, condition: Tensor) -> Callable[[Pictures], list[Tensor]]:
    """The features of a conditional discriminator (ours), which looks at pictures beside ``condition``."""

    def see(pictures: Pictures) -> list[Tensor]:
        return [f for scale in discriminator(torch.cat([condition, pictures], 1)) for f in scale[:-1]]

    return see
