"""A network that begins with another one's weights: fine-tuning."""

import warnings
from pathlib import Path

from labelfactory.errors import InputError
from labelfactory.factory.segmenters.catalogue import load_segmenter
from labelfactory.factory.segmenters.network import Network


def start_from(network: Network, path: Path, architecture: str) -> None:
    """Gives a fresh network the weights of a trained one of the same architecture.

    Layers of another shape, those of a head for other classes, stay fresh, which is said in a warning. InputError where
    the architectures differ, or nothing of the backbone fits.
    """
    trained, recipe = load_segmenter(path)
    if recipe["name"] != architecture:
        raise InputError(f"{path}: is of {recipe['name']}, the network to train is {architecture}; choose that one")
    state, own = trained.state_dict(), network.state_dict()
    fitting = {name: value for name, value in state.items() if name in own and own[name].shape == value.shape}
    fresh = sorted(own.keys() - fitting.keys())
    if 2 * len(fresh) > len(own):
        told = f"{len(fresh)} of {len(own)} tensors do not fit, the first is {fresh[0]}"
        raise InputError(f"{path}: {told}; give one that was trained with the same options")
    if fresh:
        warnings.warn(f"{path}: {len(fresh)} tensors do not fit and begin anew: {', '.join(fresh[:4])}", stacklevel=2)
    network.load_state_dict(fitting, strict=False)
