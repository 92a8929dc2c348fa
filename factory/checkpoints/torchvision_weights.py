"""Files of weights as torchvision publishes them."""

from collections.abc import Mapping
from pathlib import Path
from zipfile import is_zipfile

import torch
from torch import Tensor, nn

from labelfactory.errors import InputError


def read_weights(path: Path, of: str) -> dict[str, Tensor]:
    """The tensors of a ``.pth`` or ``.safetensors`` file, nothing in it executed. Those of a ``.pth`` of torch 1.6 or
    later stay on the disk until they are used.

    ``of`` names the network for the message of the InputError that anything else raises.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; expected torchvision's weights of {of} (.pth or .safetensors)")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True, mmap=is_zipfile(path))
        if not all(isinstance(value, Tensor) for value in state.values()):
            raise TypeError("it holds more than tensors")
    except Exception as error:  # safetensors, zip and pickle raise many kinds
        what = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(f"{path}: is no file of weights ({what}); give torchvision's weights of {of}") from error
    return {str(name): value for name, value in state.items()}


def fill(network: nn.Module, state: Mapping[str, Tensor], path: Path, of: str) -> None:
    """Gives a network its tensors out of those of a file; InputError where one is missing or does not fit."""
    wanted = network.state_dict()
    for name, value in wanted.items():
        if name not in state:
            raise InputError(f"{path}: lacks {name}; expected torchvision's weights of {of}")
        if state[name].shape != value.shape:
            raise InputError(f"{path}: {name} is {tuple(state[name].shape)}; expected {tuple(value.shape)} of {of}")
    network.load_state_dict({name: state[name] for name in wanted})
