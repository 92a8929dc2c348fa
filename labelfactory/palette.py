"""Colours of classes and of numbers, the same wherever pictures are drawn."""

from collections.abc import Sequence

import numpy as np

from labelfactory.array_types import Float, Shaped, UInt8

Color = tuple[int, int, int]

# Okabe & Ito (2008): eight colours that people of every colour vision tell apart.
OKABE_ITO: tuple[Color, ...] = (
    (0, 0, 0), (230, 159, 0), (86, 180, 233), (0, 158, 115),
    (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167),
)  # fmt: skip

IGNORE_COLOR: Color = (128, 128, 128)
"""The colour of pixels that nobody labelled."""

# Dark blue over magenta to yellow: even in lightness, told apart by readers of every colour vision.
HEAT = ((0, 0, 8), (64, 10, 103), (147, 38, 103), (221, 81, 58), (252, 165, 10), (252, 255, 164))


def color_table(colors: Sequence[Color], other: Color = IGNORE_COLOR) -> UInt8[np.ndarray, "256 3"]:
    """The colour of every mask value: ``colors`` in the order of the classes, ``other`` for what is no class."""
    table = np.full((256, 3), other, np.uint8)
    table[: len(colors)] = np.reshape(colors, (-1, 3))
    return table


def heat(
    values: Float[np.ndarray, "*shape"], low: float, high: float, unknown: Color = HEAT[0]
) -> UInt8[np.ndarray, "*shape 3"]:
    """``HEAT`` from ``low`` to ``high``, its ends beyond; ``unknown`` where there is no number."""
    place = (np.nan_to_num(values.astype(np.float64)) - low) / max(high - low, 1e-9)
    place = place.clip(0, 1) * (len(HEAT) - 1)
    steps = np.arange(len(HEAT))
    rgb = np.stack([np.interp(place, steps, channel) for channel in zip(*HEAT, strict=True)], -1)
    return np.where(np.isnan(values)[..., None], unknown, rgb).astype(np.uint8)


def laid_over(
    image: UInt8[np.ndarray, "height width channels"],
    colors: UInt8[np.ndarray, "height width 3"],
    strength: Shaped[np.ndarray, "height width"],
) -> Float[np.ndarray, "height width 3"]:
    """Colours over a grey or RGB picture, 0..255, not rounded: ``strength`` 0 leaves a pixel as it is, 1 hides it."""
    rgb = np.broadcast_to(image, (*image.shape[:2], 3)).astype(np.float64)
    alpha = strength[..., None]
    return (1 - alpha) * rgb + alpha * colors
