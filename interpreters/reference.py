"""The Style-Interpreter by its plain definition: one page that the fast paths are compared with.

Every map is upsampled to the image's size, the maps are concatenated, every pixel's vector goes through every
member, the members vote. Memory grows with pixels x channels (5.9 GB for one 512 px image of 5,568 channels).
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import batch_norm, interpolate, relu

from labelfactory.interpreters.array_types import Float
from labelfactory.interpreters.crop import Crop, whole
from labelfactory.interpreters.ensemble import Ensemble
from labelfactory.interpreters.prediction import Prediction
from labelfactory.interpreters.uncertainty import image_score, js_divergence, majority_vote


def member_logits(model: Ensemble, member: int, x: Float[Tensor, "pixels channels"]) -> Tensor:
    """Class logits of one member for its inputs (``StyleInterpreter.inputs``)."""
    for linear, norm in zip(model.linears, model.norms, strict=False):
        x = relu(x @ linear.weight[member] + linear.bias[member])
        x = batch_norm(
            x,
            norm.running_mean[member],
            norm.running_var[member],
            norm.weight[member],
            norm.bias[member],
            eps=norm.eps,
        )
    return x @ model.linears[-1].weight[member] + model.linears[-1].bias[member]


@torch.no_grad()
def predict(
    model: Ensemble, feature_maps: Sequence[Float[Tensor, "batch _ _ _"]], crop: Crop | None = None
) -> Prediction:
    """Labels and uncertainty of each image of the batch, one image after another; whole images, and then the crop."""
    size = model.output_size(feature_maps)
    masks, uncertainties = [], []
    for image in range(len(feature_maps[0])):
        columns = torch.cat(
            [
                interpolate(f[image : image + 1].float(), size, mode="bilinear", align_corners=False)[0]
                for f in feature_maps
            ]
        )
        x = model.inputs(columns.flatten(1).T)  # [pixels, channels], then [pixels, inputs]
        probabilities = torch.stack([member_logits(model, m, x).softmax(-1) for m in range(model.members)])
        masks.append(majority_vote(probabilities).to(torch.uint8).reshape(size))
        uncertainties.append(js_divergence(probabilities).reshape(size))
    part = (slice(None), *(crop or whole(size)).slices)
    mask, uncertainty = torch.stack(masks)[part], torch.stack(uncertainties)[part]
    return Prediction(mask, uncertainty.half(), image_score(uncertainty))
