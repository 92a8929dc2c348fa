"""A CycleGAN of ``factory train-synthesis`` as a restyler: one kind of pictures into the other."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from labelfactory.errors import InputError
from labelfactory.factory.restyle.restyler import Pictures, Restyler, StylePictures
from labelfactory.factory.translation.methods import UNPAIRED
from labelfactory.factory.translation.model import Translation, load_model


class DomainRestyler(Restyler):
    """Strength mixes the made picture with the given one, pixel by pixel."""

    def __init__(self, model: Translation) -> None:
        self.model = model

    @classmethod
    def open(
        cls, path: Path, sha256: str, styles: StylePictures, settings: Mapping[str, Any], device: torch.device
    ) -> "DomainRestyler":
        model = load_model(path, device, sha256)
        if model.about.method not in UNPAIRED:
            raise InputError(f"{path}: {model.about.method} makes pictures of masks; give a model of cyclegan")
        return cls(model)

    @torch.no_grad()
    def restyle(self, pictures: Pictures, styles: Sequence[int], strength: float) -> Pictures:
        given = pictures if self.model.about.source == 3 else pictures.mean(1, keepdim=True)
        made = self.model.picture(given, "there").expand(-1, 3, -1, -1)
        return pictures + strength * (made - pictures)
