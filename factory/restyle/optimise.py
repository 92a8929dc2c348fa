"""Style by optimising the picture itself (Gatys, Ecker, Bethge, "A Neural Algorithm of Artistic Style", 1508.06576)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from labelfactory.factory.restyle.encoder import Encoder, load_encoder
from labelfactory.factory.restyle.restyler import Pictures, Restyler, StylePictures, checked_hash
from labelfactory.factory.translation.perceptual import gram

STYLE_WEIGHT = 1e5  # beta over alpha, Gram matrices divided by CHW (equation 3 of arXiv 1603.08155)
SMOOTH = 1e-3  # weight of the total variation, which keeps pixels from ringing
RATE = 0.02  # Adam's, in units of [-1, 1]


class OptimisedRestyler(Restyler):
    """L = content + strength * beta * style, from the picture on: at strength 0 it stays as it is.

    Content is relu4_1, style the Gram matrices of relu1_1 to relu4_1. The paper takes L-BFGS from noise; Adam from the
    picture reaches as low a loss in fewer evaluations and moves edges less.
    """

    def __init__(self, encoder: Encoder, styles: StylePictures, iterations: int) -> None:
        self.encoder, self.styles, self.iterations = encoder, styles, iterations

    @classmethod
    def open(
        cls, path: Path, sha256: str, styles: StylePictures, settings: Mapping[str, Any], device: torch.device
    ) -> "OptimisedRestyler":
        encoder = load_encoder(path)
        checked_hash(path.read_bytes(), path, sha256)
        encoder.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return cls(encoder, styles, int(settings["iterations"]))

    def restyle(self, pictures: Pictures, styles: Sequence[int], strength: float) -> Pictures:
        made = [self._one(p[None], n, strength) for p, n in zip(pictures, styles, strict=True)]
        return torch.cat(made)

    def _one(self, picture: Pictures, number: int, strength: float) -> Tensor:
        if strength == 0:
            return picture
        # a store is made without gradients; here they are what the work consists of
        with torch.inference_mode(False), torch.enable_grad():
            picture = picture.clone()
            with torch.no_grad():
                content = self.encoder(picture)[-1].clone()
                wanted = [gram(f) for f in self.encoder(self.styles.pictures[number][None].to(picture.device))]
            made = picture.clone().requires_grad_(True)
            optimiser = torch.optim.Adam([made], lr=RATE)
            for _ in range(self.iterations):
                seen = self.encoder(made)
                style = torch.stack([(gram(f) - w).square().sum() for f, w in zip(seen, wanted, strict=True)]).sum()
                loss = F.mse_loss(seen[-1], content) + strength * STYLE_WEIGHT * style
                loss = loss + SMOOTH * (made.diff(dim=-1).abs().mean() + made.diff(dim=-2).abs().mean())
                optimiser.zero_grad(set_to_none=True)
                loss.backward()
                optimiser.step()
                with torch.no_grad():
                    made.clamp_(-1, 1)
        return made.detach()
