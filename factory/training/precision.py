"""Which number format a device is fastest in."""

from typing import Any

import torch

from labelfactory.errors import InputError

ALL = 16  # more resolutions than any network has


def best_precision(wanted: str, device: torch.device, half_resolutions: int) -> dict[str, Any]:
    """Recipe entries ``precision`` and ``half_resolutions`` for a wish ("auto": what the device is fastest in).

    On a CPU with bfloat16 matrix units (AMX) convolutions run several times faster in it, so all resolutions do; on
    CUDA the highest four, as in the paper. Weights and their averages stay float32 everywhere.
    """
    if wanted == "auto":
        if device.type == "cuda":
            wanted = "bfloat16" if torch.cuda.is_bf16_supported() else "float16"
        else:
            wanted = "bfloat16" if _has_amx() else "float32"
    if wanted not in ("float32", "bfloat16", "float16"):
        raise InputError(f"precision {wanted!r}: expected auto, float32, bfloat16 or float16")
    return {"precision": wanted, "half_resolutions": half_resolutions if device.type == "cuda" else ALL}


def _has_amx() -> bool:
    supported = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return bool(supported is not None and supported())
