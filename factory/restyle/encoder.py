"""VGG16 up to relu4_1, with the features that AdaIN compares (Huang and Belongie, arXiv 1703.06868, section 6)."""

from pathlib import Path

import torch
from torch import Tensor, nn

from labelfactory.array_types import Float
from labelfactory.factory.checkpoints.torchvision_weights import fill, read_weights
from labelfactory.factory.segmenters.backbones import ImageNetInput, vgg16_features
from labelfactory.factory.translation.perceptual import gram

TAPS = (1, 6, 11, 18)  # relu1_1, relu2_1, relu3_1, relu4_1 among ``features`` of torchvision's VGG16
STRIDE = 8  # of relu4_1


class Encoder(nn.Module):
    """Frozen; borders are mirrored, so that a restyled picture gets no frame (section 6.1)."""

    def __init__(self) -> None:
        super().__init__()
        layers = list(vgg16_features())[: TAPS[-1] + 1]
        for layer in layers:
            if isinstance(layer, nn.ReLU):
                layer.inplace = False  # features that are looked at must stay what they are
            if isinstance(layer, nn.MaxPool2d):
                layer.ceil_mode = False  # as torchvision's
            if isinstance(layer, nn.Conv2d):
                layer.padding_mode = "reflect"
                layer._reversed_padding_repeated_twice = [1, 1, 1, 1]
        self.features = nn.Sequential(*layers)
        self.normalise = ImageNetInput()
        self.requires_grad_(False).eval()

    def forward(self, pictures: Float[Tensor, "batch 3 height width"]) -> list[Tensor]:
        """Features of pictures in [-1, 1] at the four layers, lowest first; gradients pass."""
        found, x = [], self.normalise((pictures + 1) / 2).contiguous(memory_format=torch.channels_last)
        for number, layer in enumerate(self.features):
            x = layer(x)
            if number in TAPS:
                found.append(x)
        return found


def load_encoder(path: Path) -> Encoder:
    """With torchvision's weights of VGG16; InputError where one is missing or does not fit."""
    encoder = Encoder()
    fill(encoder, read_weights(path, "VGG16"), path, "VGG16")
    return encoder


def mean_std(features: Float[Tensor, "batch channels h w"]) -> tuple[Tensor, Tensor]:
    """Each channel's mean and standard deviation over the picture (equation 5), as [batch, channels, 1, 1]."""
    flat = features.float().flatten(2)
    std = (flat.var(2, correction=0) + 1e-5).sqrt()
    return flat.mean(2)[..., None, None], std[..., None, None]


@torch.no_grad()
def described(encoder: Encoder, picture: Float[Tensor, "3 height width"]) -> Float[Tensor, "numbers"]:
    """What styles are compared by: the Gram matrix of relu3_1, at length 1."""
    found = gram(encoder(picture[None])[2]).flatten()
    return found / found.norm().clamp_min(1e-12)
