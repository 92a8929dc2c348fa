"""A network that begins with another one's weights: fine-tuning."""

import warnings
from pathlib import Path
from typing import Any

from torch import Tensor

from labelfactory.errors import InputError
from labelfactory.factory.segmenters.catalogue import load_segmenter
from labelfactory.factory.segmenters.network import Network
from labelfactory.tensor_file import TensorFile

PRETRAINED = TensorFile(
    "labelfactory_pretrained_segmenter",
    "pretrained segmenter",
    "give one that `factory pretrain-segmenter` wrote",
)


def start_from(network: Network, path: Path, architecture: str) -> None:
    """Gives a fresh network the weights of a trained one of the same architecture, or of one that was pretrained.

    Layers of another shape, those of a head for other classes, stay fresh, which is said in a warning; what was
    pretrained has no head. InputError where the architectures differ, or nothing of the backbone fits.
    """
    recipe, state, pretrained = _read(path)
    if recipe.get("name") != architecture:
        told = f"is of {recipe.get('name')}, the network to train is {architecture}"
        raise InputError(f"{path}: {told}; choose that one")
    own = network.state_dict()
    fitting = {name: value for name, value in state.items() if name in own and own[name].shape == value.shape}
    fresh = sorted(own.keys() - fitting.keys())
    unfit = sorted(state.keys() - fitting.keys())
    if 2 * len(fresh) > len(own) or (pretrained and unfit):
        named = (unfit or fresh)[0]
        told = f"{len(unfit or fresh)} of {len(own)} tensors do not fit, the first is {named}"
        raise InputError(f"{path}: {told}; give one that was trained with the same options")
    if fresh and not pretrained:
        warnings.warn(f"{path}: {len(fresh)} tensors do not fit and begin anew: {', '.join(fresh[:4])}", stacklevel=2)
    network.load_state_dict(fitting, strict=False)


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor], bool]:
    """What a file says of itself, its weights, and whether it was pretrained alone."""
    if path.is_file():
        try:
            recipe, tensors = PRETRAINED.unpack(PRETRAINED.read(path), str(path))
        except InputError:  # of a trained segmenter, or of nothing that is known
            pass
        else:
            wrong = next((name for name, value in tensors.items() if not bool(value.isfinite().all())), None)
            if wrong is not None:
                raise InputError(f"{path}: {wrong} is not finite; {PRETRAINED.remedy}")
            return recipe, tensors, True
    trained, recipe = load_segmenter(path)
    return recipe, dict(trained.state_dict()), False
