"""Which number format a device is fastest in."""

import torch

from labelfactory.errors import InputError


def best_precision(wanted: str, device: torch.device) -> str:
    """float32, bfloat16 or float16 for a wish ("auto": what the device is fastest in).

    On a CPU with bfloat16 matrix units (AMX) convolutions run several times faster in it. Weights and their averages
    stay float32 everywhere.
    """
    if wanted == "auto":
        if device.type == "cuda":
            wanted = "bfloat16" if torch.cuda.is_bf16_supported() else "float16"
        else:
            wanted = "bfloat16" if cpu_has_bfloat16() else "float32"
    if wanted not in ("float32", "bfloat16", "float16"):
        raise InputError(f"precision {wanted!r}: expected auto, float32, bfloat16 or float16")
    return wanted


def cpu_has_bfloat16() -> bool:
    """Whether this CPU multiplies in bfloat16: AMX (5 to 8 times faster than float32) or AVX512-BF16 (twice)."""
    tests = (getattr(torch.cpu, name, None) for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"))
    return any(test is not None and test() for test in tests)


def uses_bf16(precision: str, device: torch.device) -> bool:
    """Whether convolutions run in bfloat16: where asked for, or ("auto") where the hardware has instructions for it."""
    if precision != "auto":
        return precision == "bfloat16"
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return cpu_has_bfloat16()
