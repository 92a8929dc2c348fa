"""Weights into a network: names, shapes and values are compared before memory is taken for it."""

from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from labelfactory.errors import InputError

AnyNetwork = TypeVar("AnyNetwork", bound=nn.Module)


def filled(kind: type[AnyNetwork], kwargs: dict[str, Any], tensors: dict[str, Tensor], part: str) -> AnyNetwork:
    """``kind(**kwargs)`` with these weights, for evaluation. ``InputError`` names what is missing or does not fit."""
    with torch.device("meta"):
        expected = {name: tuple(value.shape) for name, value in kind(**kwargs).state_dict().items()}
    for name, shape in expected.items():
        if name not in tensors:
            raise InputError(f"{part} has no {name}; its config asks for shape {list(shape)}")
        if tuple(tensors[name].shape) != shape:
            raise InputError(
                f"{part}'s {name} has shape {list(tensors[name].shape)}; its config asks for {list(shape)}"
            )
        if not tensors[name].is_floating_point() or not tensors[name].isfinite().all():
            raise InputError(f"{part}'s {name} holds values that are not finite numbers")
    unknown = sorted(set(tensors) - set(expected))
    if unknown:
        raise InputError(f"{part} holds {unknown[0]}, which its config does not ask for")
    network = kind(**kwargs)
    network.load_state_dict({name: tensors[name].float() for name in expected})
    return network.eval().requires_grad_(False)
