"""SegFormer and UperNet of the ``transformers`` library behind our interface (an optional extra)."""

from typing import Any

import torch.nn.functional as F
from torch import Tensor

from labelfactory.errors import InputError
from labelfactory.factory.objects.library import Folder, Overrides, library_model
from labelfactory.factory.segmenters.backbones import ImageNetInput
from labelfactory.factory.segmenters.segmenter import Segmenter
from labelfactory.interpreters.array_types import Float

ARCHITECTURES = {
    "segformer": ("SegformerConfig", "SegformerForSemanticSegmentation"),
    "upernet": ("UperNetConfig", "UperNetForSemanticSegmentation"),
}


class TransformersSegmenter(Segmenter):
    """One of ``ARCHITECTURES``: fresh, with ``overrides`` of the library's default configuration, or from a folder.

    ``folder`` is what ``save_pretrained`` wrote; its classification head is made anew where the classes differ. Nothing
    is fetched.
    """

    def __init__(
        self,
        architecture: str,
        num_classes: int,
        folder: Folder = None,
        overrides: Overrides = None,
    ) -> None:
        super().__init__(3, num_classes)
        if architecture not in ARCHITECTURES:
            raise InputError(f"unknown architecture {architecture!r}: choose one of {', '.join(ARCHITECTURES)}")
        self.normalise = ImageNetInput()
        self.model = library_model(*ARCHITECTURES[architecture], folder, {"num_labels": num_classes}, overrides)

    def saved_options(self, options: dict[str, Any]) -> dict[str, Any]:
        """The whole configuration: what a folder said must come back without the folder."""
        return {"overrides": self.model.config.to_dict()}

    def forward(self, x: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch classes height width"]:
        """Logits of images in 0..1."""
        logits = self.model(pixel_values=self.normalise(x)).logits
        return F.interpolate(logits, x.shape[-2:], mode="bilinear", align_corners=False)
