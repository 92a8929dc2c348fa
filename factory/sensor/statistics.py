"""What of a camera shows in a set of pictures: grain, sharpness, light, colour; and what one set has over another."""

import io

import numpy as np
from numpy import ndarray as Array
from PIL import Image
from scipy import stats

from labelfactory.factory.sensor.sensor import Row
from labelfactory.interpreters.array_types import Float, UInt8

BLOCK = 4  # side of the blocks whose means say what contrast a picture has: no grain, and hardly any blur, reaches them
BAND = (0.04, 0.3)  # cycles a pixel between which blur is looked for; beyond, little but grain is left
SHARES = np.linspace(0.02, 0.98, 25)  # of the pictures at which two sets are compared
MAD = 0.6744897501960817  # median of |x| for x of N(0, 1)


def grain(images: UInt8[Array, "n height width channels"]) -> Float[Array, "n"]:
    """Standard deviation of each picture's grain, in units of the full range, mean over the channels.

    From the median of the finest diagonal Haar coefficients' absolute values (Donoho and Johnstone, 1994, Biometrika
    81, section 4.2): shapes have few large ones, grain has all.
    """
    x = images.astype(np.float32) / 255
    detail = (x[:, 1:, 1:] - x[:, :-1, 1:] - x[:, 1:, :-1] + x[:, :-1, :-1]) / 2
    deviation: Array = np.median(np.abs(detail), (1, 2)).mean(-1) / MAD
    return deviation


def spectrum(
    images: UInt8[Array, "n height width channels"],
) -> tuple[Float[Array, "bins"], Float[Array, "bins"], float]:
    """Mean power of the pictures' light at each frequency (cycles a pixel), without their grain's; and that of their
    grain, which is the same at all.
    """
    x = images.astype(np.float64).mean(-1) / 255
    height, width = x.shape[1:]
    window = np.hanning(height)[:, None] * np.hanning(width)
    power = np.abs(np.fft.fft2((x - x.mean((1, 2), keepdims=True)) * window)) ** 2
    channels = images.shape[-1]
    floor = (grain(images) ** 2 / channels) * (window**2).sum()  # white, and as high at every frequency
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width))
    edges = np.arange(BAND[0], BAND[1] + 1e-9, max(0.02, 1 / min(height, width)))
    which = np.digitize(radius, edges)
    mean = (power - floor[:, None, None]).mean(0)
    bins = [(radius[which == b].mean(), mean[which == b].mean()) for b in range(1, len(edges)) if (which == b).any()]
    frequency, level = np.array(bins).reshape(-1, 2).T
    return frequency, np.maximum(level, 1e-3 * floor.mean() + 1e-9), float(floor.mean())


def blur_over(
    real: UInt8[Array, "n height width channels"], generated: UInt8[Array, "m height width channels"]
) -> float:
    """Standard deviation in pixels of the Gaussian that the real pictures are blurred by beyond the generated ones.

    Blur multiplies power by exp(-4 pi^2 sigma^2 f^2): the slope of the ratio's logarithm over f^2. Only frequencies at
    which both have more power than their grain count.
    """
    frequency, one, ones_grain = spectrum(real)
    _, other, others_grain = spectrum(generated)
    clear = (one > ones_grain) & (other > others_grain)
    if clear.sum() < 3:
        return 0.0
    slope = stats.theilslopes(np.log(one / other)[clear], frequency[clear] ** 2)[0]
    return float(np.sqrt(max(0.0, -slope / (4 * np.pi**2))))


def light(images: UInt8[Array, "n height width channels"]) -> tuple[Float[Array, "n"], Float[Array, "n"]]:
    """Mean of each picture, and the logarithm of the standard deviation of its blocks' means."""
    x = images.astype(np.float32).mean(-1) / 255
    height, width = (side // BLOCK * BLOCK for side in x.shape[1:])
    blocks = x[:, :height, :width].reshape(len(x), height // BLOCK, BLOCK, width // BLOCK, BLOCK).mean((2, 4))
    return x.mean((1, 2)), np.log(blocks.std((1, 2)) + 1e-3)


def colour(images: UInt8[Array, "n height width channels"]) -> Float[Array, "n channels"]:
    """Logarithm of each channel's mean against the mean of all channels'."""
    means = np.log(images.astype(np.float32).mean((1, 2)) / 255 + 1e-3)
    return means - means.mean(1, keepdims=True)


def over(real: Float[Array, "n"], generated: Float[Array, "m"]) -> Float[Array, "n"]:
    """How much more each real value is than the generated value of the same rank."""
    ranks = (stats.rankdata(real) - 0.5) / len(real)
    return np.interp(ranks, SHARES, np.quantile(real, SHARES) - np.quantile(generated, SHARES))


def jpeg_quality(content: bytes) -> int:
    """Quality (1 to 100) whose standard table is nearest to that of a picture's file; 0 for one that is no JPEG."""
    with Image.open(io.BytesIO(content)) as picture:
        tables = getattr(picture, "quantization", None)
        if picture.format != "JPEG" or not tables:
            return 0
    total = sum(tables[0])
    return min(range(1, 101), key=lambda quality: abs(_table_sum(quality) - total))


# Luminance table of the JPEG standard (ITU-T T.81, annex K.1)
_LUMINANCE = np.array(
    [16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29,
     51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78, 87, 103, 121, 120,
     101, 72, 92, 95, 98, 112, 100, 103, 99]
)  # fmt: skip


def _table_sum(quality: int) -> int:
    """Sum of the luminance table at a quality, scaled as libjpeg does."""
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    return int(np.clip((_LUMINANCE * scale + 50) // 100, 1, 255).sum())


def rows_over(
    real: UInt8[Array, "n height width channels"],
    generated: UInt8[Array, "m height width channels"],
    qualities: list[int],
) -> tuple[Row, ...]:
    """What each real picture has over the generated ones; ``qualities`` are those of the real pictures' files."""
    blur = blur_over(real, generated)
    mean, contrast = (over(a, b) for a, b in zip(light(real), light(generated), strict=True))
    ranks = (stats.rankdata(own := grain(real)) - 0.5) / len(own)
    theirs = np.interp(ranks, SHARES, np.quantile(grain(generated), SHARES))
    added = np.sqrt(np.maximum(0, own**2 - theirs**2))
    casts = np.zeros((len(real), 0))
    if real.shape[-1] > 1:
        ours, others = colour(real), colour(generated)
        casts = np.stack([over(ours[:, k], others[:, k]) for k in range(ours.shape[1])], 1)
        casts = np.exp(casts - casts.mean(1, keepdims=True))
    return tuple(
        Row(
            round(blur, 4),
            round(float(np.exp(np.clip(contrast[i], -2, 2))), 4),
            round(float(np.clip(mean[i], -1, 1)), 4),
            tuple(round(float(c), 4) for c in casts[i]),
            round(float(added[i]), 5),
            qualities[i],
        )
        for i in range(len(real))
    )
