"""The device that a person names."""

import torch

from labelfactory.errors import InputError


def resolve_device(device: str) -> torch.device:
    """``auto`` is CUDA where there is one, else the CPU."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError:
        raise InputError(f"device {device!r}: expected auto, cpu, cuda or cuda:N") from None
    if chosen.type not in ("cpu", "cuda"):
        raise InputError(f"device {device!r}: expected auto, cpu, cuda or cuda:N")
    if chosen.type == "cuda" and (not torch.cuda.is_available() or (chosen.index or 0) >= torch.cuda.device_count()):
        raise InputError(f"device {device!r}: this machine has {torch.cuda.device_count()} CUDA devices; use auto")
    return chosen


def this_device(device: str) -> str:
    """The device's name with its number: threads and worker processes have another current one."""
    chosen = resolve_device(device)
    if chosen.type == "cuda" and chosen.index is None:
        return f"cuda:{torch.cuda.current_device()}"
    return str(chosen)
