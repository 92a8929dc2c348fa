"""SegFormer, UperNet and Mask2Former of the ``transformers`` library behind our interface (an optional extra)."""

from pathlib import Path
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from labelfactory.errors import InputError
from labelfactory.factory.parameter import Parameter
from labelfactory.factory.segmenters.backbones import ImageNetInput
from labelfactory.factory.segmenters.segmenter import Segmenter
from labelfactory.interpreters.array_types import Float

ARCHITECTURES = {
    "segformer": ("SegformerConfig", "SegformerForSemanticSegmentation"),
    "upernet": ("UperNetConfig", "UperNetForSemanticSegmentation"),
    "mask2former": ("Mask2FormerConfig", "Mask2FormerForUniversalSegmentation"),
}


class TransformersSegmenter(Segmenter):
    """One of ``ARCHITECTURES``: fresh, with ``overrides`` of the library's default configuration, or from a folder.

    ``folder`` is what ``save_pretrained`` wrote; its classification head is made anew where the classes differ. Nothing
    is fetched. Mask2Former's logits are the log of its semantic output (class times mask probability, summed over
    queries), so that it trains with the pixel losses here; its own set-matching loss is not used.
    """

    def __init__(
        self,
        architecture: str,
        num_classes: int,
        folder: Annotated[Path | None, Parameter("Folder that save_pretrained wrote.", place=True)] = None,
        overrides: Annotated[
            dict[str, Any] | None, Parameter("Changes of the library's default configuration, as JSON.")
        ] = None,
    ) -> None:
        super().__init__(3, num_classes)
        if architecture not in ARCHITECTURES:
            raise InputError(f"unknown architecture {architecture!r}: choose one of {', '.join(ARCHITECTURES)}")
        try:
            import transformers
        except ImportError as error:
            raise InputError(f"{architecture} needs the transformers library: pip install labelfactory[hf]") from error
        config_name, model_name = ARCHITECTURES[architecture]
        model_class = getattr(transformers, model_name)
        self.architecture = architecture
        self.normalise = ImageNetInput()
        if folder is not None:
            if not (folder / "config.json").is_file():
                raise InputError(f"{folder} holds no config.json: give a folder written by save_pretrained")
            self.model = model_class.from_pretrained(
                folder, num_labels=num_classes, ignore_mismatched_sizes=True, local_files_only=True
            )
        else:
            config = getattr(transformers, config_name).from_dict({**(overrides or {}), "num_labels": num_classes})
            self.model = model_class(config)

    def saved_options(self, options: dict[str, Any]) -> dict[str, Any]:
        """The whole configuration: what a folder said must come back without the folder."""
        return {"overrides": self.model.config.to_dict()}

    def forward(self, x: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch classes height width"]:
        """Logits of images in 0..1."""
        out = self.model(pixel_values=self.normalise(x))
        if self.architecture == "mask2former":
            classes = out.class_queries_logits.float().softmax(-1)[..., :-1]  # the last class is "no object"
            masks = out.masks_queries_logits.float().sigmoid()
            logits = torch.einsum("bqc,bqhw->bchw", classes, masks).clamp_min(1e-6).log()
        else:
            logits = out.logits
        return F.interpolate(logits, x.shape[-2:], mode="bilinear", align_corners=False)
