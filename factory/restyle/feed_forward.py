"""A feed-forward network for given style pictures (Johnson, Alahi, Fei-Fei, arXiv 1603.08155).

One network serves several styles: its normalisations have a scale and a shift for each (Dumoulin et al., "A Learned
Representation for Artistic Style", arXiv 1610.07629, equation 5).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from labelfactory.array_types import Float, Int
from labelfactory.errors import InputError
from labelfactory.factory import options
from labelfactory.factory.parameter import Parameter
from labelfactory.factory.restyle.adain import coloured
from labelfactory.factory.restyle.encoder import Encoder
from labelfactory.factory.restyle.restyler import FILE, Pictures, Restyler, StylePictures, read_restyler
from labelfactory.factory.translation.method import Batch, Made, Method, Stats
from labelfactory.factory.translation.perceptual import gram

MOST_STYLES = 256


class ConditionalInstanceNorm(nn.Module):
    """z = gamma_s (x - mu) / sigma + beta_s (equation 5 of 1610.07629)."""

    def __init__(self, channels: int, styles: int) -> None:
        super().__init__()
        self.scale = nn.Embedding(styles, channels)
        self.shift = nn.Embedding(styles, channels)
        nn.init.ones_(self.scale.weight)
        nn.init.zeros_(self.shift.weight)

    def forward(self, x: Float[Tensor, "batch channels h w"], style: Int[Tensor, "batch"]) -> Tensor:
        """Normalised features."""
        found: Tensor = F.instance_norm(x) if x.shape[-2] * x.shape[-1] > 1 else x
        return self.scale(style)[..., None, None] * found + self.shift(style)[..., None, None]


class _Conv(nn.Module):
    """Mirrored borders, a convolution (after enlarging, where wanted), the style's normalisation."""

    def __init__(self, inside: int, out: int, kernel: int, styles: int, stride: int = 1, enlarge: bool = False) -> None:
        super().__init__()
        self.enlarge = enlarge
        self.conv = nn.Conv2d(inside, out, kernel, stride, kernel // 2, padding_mode="reflect")
        self.norm = ConditionalInstanceNorm(out, styles)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        if self.enlarge:
            x = F.interpolate(x, scale_factor=2, mode="nearest")
        found: Tensor = self.norm(self.conv(x), style)
        return found


class _Residual(nn.Module):
    """Two convolutions around a shortcut."""

    def __init__(self, channels: int, styles: int) -> None:
        super().__init__()
        self.first, self.second = (_Conv(channels, channels, 3, styles) for _ in range(2))

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        found: Tensor = x + self.second(F.relu(self.first(x, style)), style)
        return found


class TransformNet(nn.Module):
    """c9-32, two that stride, residual blocks, two that enlarge, c9-3 (table 1 of 1610.07629)."""

    def __init__(self, styles: int, width: int = 32, blocks: int = 5) -> None:
        super().__init__()
        w = width
        self.into = nn.ModuleList([_Conv(3, w, 9, styles), *(_Conv(a, 2 * a, 3, styles, 2) for a in (w, 2 * w))])
        self.blocks = nn.ModuleList(_Residual(4 * w, styles) for _ in range(blocks))
        self.out = nn.ModuleList(_Conv(2 * a, a, 3, styles, enlarge=True) for a in (2 * w, w))
        self.last = nn.Conv2d(w, 3, 9, padding=4, padding_mode="reflect")

    def forward(
        self, pictures: Float[Tensor, "batch 3 height width"], style: Int[Tensor, "batch"]
    ) -> Float[Tensor, "batch 3 height width"]:
        """Pictures in [-1, 1] of the same size."""
        height, width = pictures.shape[-2:]
        x = F.pad(pictures, (0, -width % 4, 0, -height % 4), mode="reflect")
        for layer in self.into:
            x = F.relu(layer(x, style))
        for block in self.blocks:
            x = block(x, style)
        for layer in self.out:
            x = F.relu(layer(x, style))
        return torch.tanh(self.last(x))[..., :height, :width]


class FeedForward(Method):
    """Its training: content relu3_1, style the Gram matrices of relu1_1 to relu4_1, total variation (section 3.2)."""

    rates, betas, batch = (1e-3, 1e-3), (0.9, 0.999), 4

    def __init__(
        self,
        encoder: Encoder,
        styles: StylePictures,
        width: Annotated[int, Parameter("Channels at full size.", at_least=1, at_most=128)] = 32,
        blocks: Annotated[int, Parameter("Residual blocks.", at_least=1, at_most=16)] = 5,
        style_weight: Annotated[float, Parameter("Weight of the style in the loss.", at_least=0)] = 1e5,
        smooth: Annotated[float, Parameter("Weight of the total variation.", at_least=0)] = 1e-3,
    ) -> None:
        super().__init__()
        if len(styles.pictures) > MOST_STYLES:
            told = f"{len(styles.pictures)} style pictures: a feed-forward network learns {MOST_STYLES} at most"
            raise InputError(f"{told}; give fewer, or take adain")
        self.encoder, self.weights = encoder, {"style": style_weight, "smooth": smooth}
        with torch.no_grad():
            found = [[gram(f)[0] for f in encoder(p[None])] for p in styles.pictures]
        self.grams = [torch.stack(layer) for layer in zip(*found, strict=True)]
        net = TransformNet(len(styles.pictures), width, blocks)
        self.makers, self.judges = nn.ModuleDict({"network": net}), nn.ModuleDict()

    def generator_loss(self, batch: Batch, rng: torch.Generator) -> tuple[Tensor, Stats, Made]:
        """A style is drawn for each picture."""
        source = coloured(batch.source)
        numbers = torch.randint(len(self.grams[0]), (len(source),), generator=rng).to(source.device)
        made = self.makers["network"](source, numbers)
        with torch.no_grad():
            wanted = self.encoder(source)[2].float()
        seen = [f.float() for f in self.encoder(made)]
        parts = {"content": F.mse_loss(seen[2], wanted)}
        grams = [g.to(source.device)[numbers] for g in self.grams]
        each = [(gram(f) - g).square().sum((1, 2)).mean() for f, g in zip(seen, grams, strict=True)]
        parts["style"] = torch.stack(each).sum()
        parts["smooth"] = made.diff(dim=-1).abs().mean() + made.diff(dim=-2).abs().mean()
        loss = torch.stack([self.weights.get(name, 1.0) * value for name, value in parts.items()]).sum()
        return loss, {name: value.detach() for name, value in parts.items()}, {}

    def panels(self, makers: nn.ModuleDict, batch: Batch) -> list[Tensor]:
        """The picture, and the picture in the first styles."""
        source = coloured(batch.source)
        some = range(min(4, len(self.grams[0])))
        return [source, *(makers["network"](source, torch.full((len(source),), n, device=source.device)) for n in some)]

    def saved(self, makers: nn.ModuleDict) -> dict[str, Tensor]:
        """What a file of it holds."""
        return {name: value.detach().clone() for name, value in makers.state_dict().items()}


class FeedForwardRestyler(Restyler):
    """Strength mixes the made picture with the given one, pixel by pixel."""

    def __init__(self, network: nn.Module, numbers: Sequence[int]) -> None:
        self.network, self.numbers = network, list(numbers)

    @classmethod
    def open(
        cls, path: Path, sha256: str, styles: StylePictures, settings: Mapping[str, Any], device: torch.device
    ) -> "FeedForwardRestyler":
        header, tensors = read_restyler(path, "perceptual", sha256)
        known = header.get("styles")
        if not isinstance(known, list):
            raise InputError(f"{path}: its header does not describe a restyler; {FILE.remedy}")
        for name, found in zip(styles.names, styles.hashes, strict=True):
            if found not in known:
                told = f"has not learned the style of {name}, only those of the {len(known)} pictures it was trained on"
                raise InputError(f"{path}: {told}; give these, or train it anew")
        chosen = options.checked("perceptual", options.options_of(FeedForward), header["options"])
        sizes = {name: chosen[name] for name in ("width", "blocks") if name in chosen}
        networks = nn.ModuleDict({"network": TransformNet(len(known), **sizes)})
        FILE.fill(networks, tensors, str(path))
        networks.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        networks.requires_grad_(False).eval()
        return cls(networks["network"], [known.index(one) for one in styles.hashes])

    @torch.no_grad()
    def restyle(self, pictures: Pictures, styles: Sequence[int], strength: float) -> Pictures:
        numbers = torch.tensor([self.numbers[n] for n in styles], device=pictures.device)
        made = self.network(pictures, numbers).float()
        return pictures + strength * (made - pictures)
