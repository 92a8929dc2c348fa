"""Exact factored inference: the first layer is applied to every map at the map's own resolution.

Upsampling acts on space and the layer on channels, both linearly, so they commute:
    W concat_k(up(S_k)) = sum_k up(W_k S_k).
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from interpreters.prediction import Prediction
from interpreters.shapes import Float
from interpreters.uncertainty import image_score, js_divergence, majority_vote

if TYPE_CHECKING:
    from interpreters.interpreter import StyleInterpreter


def fold(model: "StyleInterpreter") -> list[tuple[Tensor, Tensor]]:
    """Weight [members, in, out] and bias [members, out] of each layer, standardisation and batch norm folded in."""
    scale = (1 / model.feature_std).expand(model.members, -1)
    shift = -model.feature_mean / model.feature_std
    shift = shift.expand(model.members, -1)
    folded = []
    for i, linear in enumerate(model.linears):
        weight = linear.weight * scale[..., None]
        bias = linear.bias + torch.einsum("mi,mio->mo", shift, linear.weight)
        folded.append((weight, bias))
        if i < len(model.norms):
            scale, shift = model.norms[i].scale_shift()
    return folded


@torch.no_grad()
def predict(model: "StyleInterpreter", feature_maps: Sequence[Float[Tensor, "batch _ _ _"]]) -> Prediction:
    size = model.output_size(feature_maps)
    (first, bias), *rest = fold(model)
    columns = first.permute(1, 0, 2).flatten(1)  # [channels, members * width]
    masks, uncertainties = [], []
    for image in range(len(feature_maps[0])):
        total: Tensor | float = 0.0
        for f, weight in zip(feature_maps, columns.split(model.feature_channels), strict=True):
            projected = torch.tensordot(weight, f[image].float(), ([0], [0]))
            total = total + interpolate(projected[None], size, mode="bilinear", align_corners=False)[0]
        assert isinstance(total, Tensor)
        x = total.reshape(model.members, -1, size[0] * size[1]).transpose(1, 2) + bias[:, None]
        for weight, b in rest:
            x = torch.baddbmm(b[:, None], x.relu_(), weight)
        probabilities = x.softmax(-1)
        masks.append(majority_vote(probabilities).to(torch.uint8).reshape(size))
        uncertainties.append(js_divergence(probabilities).reshape(size))
    uncertainty = torch.stack(uncertainties)
    return Prediction(torch.stack(masks), uncertainty.half(), image_score(uncertainty))
