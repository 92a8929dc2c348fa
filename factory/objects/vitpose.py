"""ViTPose (Xu et al., NeurIPS 2022, arXiv 2204.12484) of ``transformers``: heat maps of key points from a plain ViT."""

from typing import Annotated, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from labelfactory.factory.evaluation.predicted import Predicted
from labelfactory.factory.objects.hourglass import heat_loss
from labelfactory.factory.objects.library import Folder, Overrides, library_model
from labelfactory.factory.objects.object_network import ObjectNetwork
from labelfactory.factory.pairs.augment import Batch
from labelfactory.factory.parameter import Parameter
from labelfactory.factory.segmenters.backbones import ImageNetInput
from labelfactory.factory.segmenters.settings import TrainingConfig
from labelfactory.factory.segmenters.tasks import Aim
from labelfactory.interpreters.array_types import Float
from labelfactory.interpreters.keypoints import decode


class VitPose(ObjectNetwork):
    """Fresh, with ``overrides`` of the library's default configuration, or from a folder.

    The library has no loss for it: it learns by the paper's, the squared error of the heat maps (section 3.1). Every
    picture is seen at the size of the configuration (``backbone_config``: ``image_size``).
    """

    def __init__(
        self,
        aim: Aim,
        folder: Folder = None,
        overrides: Overrides = None,
        sigma: Annotated[float, Parameter("Spread of a point's heat, in pixels of the heat map.", more_than=0)] = 1.5,
    ) -> None:
        super().__init__(3, aim)
        self.sigma = sigma
        self.normalise = ImageNetInput()
        points = {"num_labels": len(aim.keypoints)}
        self.model = library_model("VitPoseConfig", "VitPoseForPoseEstimation", folder, points, overrides)
        height, width = self.model.config.backbone_config.image_size
        self.size = (int(height), int(width))

    def saved_options(self, options: dict[str, Any]) -> dict[str, Any]:
        """The whole configuration: what a folder said must come back without the folder."""
        return {"overrides": self.model.config.to_dict(), **({"sigma": options["sigma"]} if "sigma" in options else {})}

    def forward(self, x: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch points h w"]:
        """Heat maps of images in 0..1."""
        x = F.interpolate(self.normalise(x), self.size, mode="bilinear", align_corners=False)
        heat: Tensor = self.model(pixel_values=x).heatmaps
        return heat

    def loss(self, answer: Tensor, batch: Batch, how: TrainingConfig) -> Float[Tensor, ""]:
        """Mean squared error of the heat maps, over labelled points."""
        return heat_loss(answer, batch, self.sigma)

    def decoded(self, answer: Tensor, height: int, width: int) -> list[Predicted]:
        """Peaks of the heat maps, in pixels of the image."""
        heat = answer.float()
        points = decode(heat) * heat.new_tensor([width / heat.shape[-1], height / heat.shape[-2], 1])
        return [Predicted(keypoints=p.astype(np.float32)) for p in torch.as_tensor(points).cpu().numpy()]
