"""Adaptive instance normalisation (Huang and Belongie, "Arbitrary Style Transfer in Real-time", arXiv 1703.06868).

The encoder is VGG16 up to relu4_1 (the paper: VGG19), the decoder is trained here.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from labelfactory.array_types import Float
from labelfactory.errors import InputError
from labelfactory.factory import options
from labelfactory.factory.parameter import Parameter
from labelfactory.factory.restyle.encoder import STRIDE, Encoder, mean_std
from labelfactory.factory.restyle.restyler import FILE, Pictures, Restyler, StylePictures, read_restyler
from labelfactory.factory.translation.method import Batch, Made, Method, Stats

WIDTHS = (256, 256, 256, 128, 128, 64, 64)  # of the decoder's convolutions, mirrored from VGG16's
ENLARGED = (0, 3, 5)  # after these its maps are enlarged twofold


def adain(content: Float[Tensor, "batch channels h w"], mean: Tensor, std: Tensor) -> Tensor:
    """AdaIN(x, y) = sigma(y) (x - mu(x)) / sigma(x) + mu(y) (equation 8)."""
    own_mean, own_std = mean_std(content)
    return std * (content.float() - own_mean) / own_std + mean


class Decoder(nn.Module):
    """The encoder mirrored: nearest enlarging in place of pooling, no normalisation (section 6.1)."""

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inside = 512
        for number, wide in enumerate(WIDTHS):
            out = max(8, round(wide * width))
            layers += [nn.Conv2d(inside, out, 3, padding=1, padding_mode="reflect"), nn.ReLU()]
            layers += [nn.Upsample(scale_factor=2, mode="nearest")] if number in ENLARGED else []
            inside = out
        self.layers = nn.Sequential(*layers, nn.Conv2d(inside, 3, 3, padding=1, padding_mode="reflect"))

    def forward(self, features: Float[Tensor, "batch 512 h w"]) -> Float[Tensor, "batch 3 height width"]:
        """Pictures, about in [-1, 1]."""
        found: Tensor = self.layers(features)
        return found


class AdaIN(Method):
    """The decoder's training: L = L_c + weight L_s (equations 11 to 13), style pictures drawn for every step."""

    rates, betas, batch = (1e-4, 1e-4), (0.9, 0.999), 8

    def __init__(
        self,
        encoder: Encoder,
        width: Annotated[
            float, Parameter("Width of the decoder against the encoder's.", at_least=0.0625, at_most=1)
        ] = 0.5,
        style_weight: Annotated[float, Parameter("Weight of the style in the loss.", at_least=0)] = 10.0,
    ) -> None:
        super().__init__()
        self.encoder, self.style_weight = encoder, style_weight
        self.makers, self.judges = nn.ModuleDict({"decoder": Decoder(width)}), nn.ModuleDict()

    def generator_loss(self, batch: Batch, rng: torch.Generator) -> tuple[Tensor, Stats, Made]:
        """Content: the made picture's features against AdaIN's; style: means and deviations of all four layers."""
        with torch.no_grad():
            of_style = [mean_std(f) for f in self.encoder(coloured(batch.picture))]
            target = adain(self.encoder(coloured(padded(batch.source)))[-1], *of_style[-1])
        made = self.encoder(self.makers["decoder"](target))
        content = F.mse_loss(made[-1].float(), target)
        style = torch.stack(
            [
                F.mse_loss(ours, theirs)
                for f, wanted in zip(made, of_style, strict=True)
                for ours, theirs in zip(mean_std(f), wanted, strict=True)
            ]
        ).sum()
        return content + self.style_weight * style, {"content": content.detach(), "style": style.detach()}, {}

    def panels(self, makers: nn.ModuleDict, batch: Batch) -> list[Tensor]:
        """The picture, the style, the picture in it."""
        height, width = batch.source.shape[-2:]
        shown = min(len(batch.source), len(batch.picture))
        content, style = coloured(batch.source)[:shown], coloured(batch.picture)[:shown]
        statistics = mean_std(self.encoder(style)[-1])
        made = makers["decoder"](adain(self.encoder(padded(content))[-1], *statistics))[..., :height, :width]
        return [content, F.interpolate(style, (height, width)), made.clamp(-1, 1)]

    def saved(self, makers: nn.ModuleDict) -> dict[str, Tensor]:
        """What a file of it holds."""
        networks = nn.ModuleDict({"encoder": self.encoder, "decoder": makers["decoder"]})
        return {name: value.detach().clone() for name, value in networks.state_dict().items()}


def coloured(pictures: Pictures) -> Tensor:
    """Grey pictures repeated to three channels."""
    return pictures.expand(-1, 3, -1, -1) if pictures.shape[1] == 1 else pictures


def padded(pictures: Pictures) -> Tensor:
    """Mirrored at the right and the bottom to a multiple of the encoder's stride."""
    down, right = (-pictures.shape[-2] % STRIDE, -pictures.shape[-1] % STRIDE)
    return F.pad(pictures, (0, right, 0, down), mode="reflect") if down or right else pictures


class AdaINRestyler(Restyler):
    """Strength is the share of the style in the features: T = g((1 - a) f(c) + a AdaIN(f(c), f(s))) (equation 14)."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module, styles: StylePictures) -> None:
        self.encoder, self.decoder, self.styles = encoder, decoder, styles
        self.known: dict[int, tuple[Tensor, Tensor]] = {}

    @classmethod
    def open(
        cls, path: Path, sha256: str, styles: StylePictures, settings: Mapping[str, Any], device: torch.device
    ) -> "AdaINRestyler":
        header, tensors = read_restyler(path, "adain", sha256)
        width = options.checked("adain", options.options_of(AdaIN), header["options"]).get("width", 0.5)
        networks = nn.ModuleDict({"encoder": Encoder(), "decoder": Decoder(width)})
        FILE.fill(networks, tensors, str(path))
        networks.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        networks.requires_grad_(False).eval()
        return cls(networks["encoder"], networks["decoder"], styles)

    def _statistics(self, number: int) -> tuple[Tensor, Tensor]:
        if number not in self.known:
            device = next(self.encoder.parameters()).device
            self.known[number] = mean_std(self.encoder(self.styles.pictures[number][None].to(device))[-1])
        return self.known[number]

    @torch.no_grad()
    def restyle(self, pictures: Pictures, styles: Sequence[int], strength: float) -> Pictures:
        if min(pictures.shape[-2:]) < 2 * STRIDE:
            raise InputError(f"pictures of {tuple(pictures.shape[-2:])} pixels: adain needs sides of {2 * STRIDE}")
        height, width = pictures.shape[-2:]
        found = [self._statistics(number) for number in styles]
        mean, std = (torch.cat([one[i] for one in found]) for i in range(2))
        features = self.encoder(padded(pictures))[-1].float()
        mixed = (1 - strength) * features + strength * adain(features, mean, std)
        made: Tensor = self.decoder(mixed).float()
        return made[..., :height, :width].clamp(-1, 1)
