"""A trained interpreter as bare weights for inference: standardisation and batch norm are part of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from interpreters.shapes import Float

if TYPE_CHECKING:
    from interpreters.interpreter import StyleInterpreter
    from interpreters.regression import FeatureRegressor


@dataclass(frozen=True)
class Folded:
    """first: all members' first layers side by side. hidden: weight and bias of each further layer."""

    first: Float[Tensor, "channels units"]  # units = members * width of the first layer
    first_bias: Float[Tensor, "maps units"]  # each map's share; upsampling keeps constants, so shares just add up
    hidden: list[tuple[Float[Tensor, "members _ _"], Float[Tensor, "members 1 _"]]]
    members: int


@torch.no_grad()
def fold(model: "StyleInterpreter | FeatureRegressor", dtype: torch.dtype, device: torch.device) -> Folded:
    """Both are affine maps in front of a linear layer: W (s x + t) + b = (W s) x + (W t + b).

    Each map's projection is centred by a bias of its own: in low precision a large common offset would cost digits.
    """
    scale = (1 / model.feature_std).expand(model.members, -1)
    shift = (-model.feature_mean / model.feature_std).expand(model.members, -1)
    layers = []
    for i, linear in enumerate(model.linears):
        weight = linear.weight * scale[..., None]
        bias = linear.bias + torch.einsum("mi,mio->mo", shift, linear.weight)
        layers.append((weight, bias))
        if i < len(model.norms):
            scale, shift = model.norms[i].scale_shift()
    (first, _), *hidden = layers
    centred = (-model.feature_mean / model.feature_std)[:, None] * model.linears[0].weight.permute(1, 0, 2).flatten(1)
    first_bias = torch.stack([part.sum(0) for part in centred.split(model.feature_channels)])
    first_bias[0] += model.linears[0].bias.flatten()
    # logits stay in float32: they cost one part in forty, and rounding would tie classes
    dtypes = [dtype] * (len(hidden) - 1) + [torch.float32]
    return Folded(
        first.permute(1, 0, 2).flatten(1).to(device, dtype),
        first_bias.to(device, dtype),
        [(w.to(device, d), b[:, None].to(device, d)) for (w, b), d in zip(hidden, dtypes, strict=False)],
        model.members,
    )


class FoldCache:
    """Folds again only when a weight has changed since the last time."""

    def __init__(self) -> None:
        self._key: tuple[Any, ...] = ()
        self._folded: Folded | None = None

    def __call__(
        self, model: "StyleInterpreter | FeatureRegressor", dtype: torch.dtype, device: torch.device
    ) -> Folded:
        tensors: Sequence[Tensor] = [*model.parameters(), *model.buffers()]
        key = (dtype, device, *((t.data_ptr(), t._version) for t in tensors))
        if self._folded is None or key != self._key:
            self._key, self._folded = key, fold(model, dtype, device)
        return self._folded
