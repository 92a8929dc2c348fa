"""A trained ensemble as bare weights for inference: standardisation and batch norm are part of them."""

from dataclasses import dataclass

import torch
from torch import Tensor

from labelfactory.interpreters.array_types import Float
from labelfactory.interpreters.ensemble import Ensemble


@dataclass(frozen=True)
class Folded:
    """reducers: from a map's channels to its directions, weight and offset; None where members see all channels.
    first: all members' first layers side by side. hidden: weight and bias of each further layer.
    """

    reducers: list[tuple[Float[Tensor, "_ _"], Float[Tensor, "_ 1"]] | None]  # float32: a small part of the work
    first: Float[Tensor, "inputs units"]  # units = members * width of the first layer
    first_bias: Float[Tensor, "maps units"]  # each map's share; upsampling keeps constants, so shares just add up
    hidden: list[tuple[Float[Tensor, "members _ _"], Float[Tensor, "members 1 _"]]]
    members: int
    seen: list[int]  # inputs from each map


@torch.no_grad()
def fold(model: Ensemble, dtype: torch.dtype, device: torch.device) -> Folded:
    """Standardisation and batch norm are affine maps in front of a linear layer, so they fold into its weights:
    W (s x + t) + b = (W s) x + (W t + b).

    Each map's directions, or else its projection, are centred by an offset of their own: in low precision a large
    common one would cost digits.
    """
    reducers: list[tuple[Tensor, Tensor] | None] = []
    scales, shifts = [], []  # standardisation of maps without a reducer (1 and 0 for the others)
    for basis, mean, std in zip(
        model.bases,
        model.feature_mean.split(model.feature_channels),
        model.feature_std.split(model.feature_channels),
        strict=True,
    ):
        if basis is None:
            reducers.append(None)
            scales.append(1 / std)
            shifts.append(-mean / std)
        else:
            weight = basis.T / std
            reducers.append((weight.to(device), -(weight @ mean)[:, None].to(device)))
            scales.append(weight.new_ones(len(weight)))
            shifts.append(weight.new_zeros(len(weight)))
    scale, shift = (torch.cat(parts).expand(model.members, -1) for parts in (scales, shifts))
    centred = torch.cat(shifts)[:, None] * model.linears[0].weight.permute(1, 0, 2).flatten(1)
    first_bias = torch.stack([part.sum(0) for part in centred.split([len(s) for s in shifts])])
    first_bias[0] += model.linears[0].bias.flatten()
    layers = []
    for i, linear in enumerate(model.linears):
        weight = linear.weight * scale[..., None]
        bias = linear.bias + torch.einsum("mi,mio->mo", shift, linear.weight)
        layers.append((weight, bias))
        if i < len(model.norms):
            scale, shift = model.norms[i].scale_shift()
    (first, _), *hidden = layers
    # logits stay in float32: they cost one part in forty, and rounding would tie classes
    dtypes = [dtype] * (len(hidden) - 1) + [torch.float32]
    return Folded(
        reducers,
        first.permute(1, 0, 2).flatten(1).to(device, dtype),
        first_bias.to(device, dtype),
        [(w.to(device, d), b[:, None].to(device, d)) for (w, b), d in zip(hidden, dtypes, strict=False)],
        model.members,
        [len(s) for s in shifts],
    )


def folded(model: Ensemble, dtype: torch.dtype, device: torch.device) -> Folded:
    """The weights as inference uses them; folded anew only where one has changed since the last time."""
    tensors = [*model.parameters(), *model.buffers()]
    key = (dtype, device, *((t.data_ptr(), t._version) for t in tensors))
    found: Folded | None = model.folds.get(key)
    if found is None:
        found = fold(model, dtype, device)
        model.folds = {key: found}
    return found
