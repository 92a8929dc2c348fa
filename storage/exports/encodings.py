"""Arrays of a sample as the files that other tools open: PNG for pictures, NPY for numbers."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Shaped, UInt8
from PIL import Image

from labelfactory.errors import InputError, WorkError
from labelfactory.palette import color_table
from labelfactory.storage.spec import ClassInfo

MASKS = {
    "grey": "one channel, the value is the class id",
    "indexed": "a palette of the classes' colours, the index is the class id",
    "colour": "RGB in the classes' colours",
}
UNLABELLED_COLORS = ((255, 255, 255), (128, 128, 128), (0, 0, 0), (255, 0, 255))


def name_of(sample: int | np.integer) -> str:
    """A sample's name in every format: its index in the store, so that exports of one store agree."""
    return f"{sample:09d}"


def unlabelled_color(classes: Sequence[ClassInfo]) -> tuple[int, int, int]:
    """White, or the first other colour that no class has."""
    taken = {info.color for info in classes}
    free = (color for color in UNLABELLED_COLORS if color not in taken)
    return next(free, None) or next((i, i, i) for i in range(256) if (i, i, i) not in taken)


class MaskEncoding:
    """Masks as PNG in one of the styles of ``MASKS``; InputError where the style cannot tell the classes apart."""

    def __init__(self, style: str, classes: Sequence[ClassInfo]) -> None:
        if style not in MASKS:
            raise InputError(f"masks {style!r}: expected one of {', '.join(MASKS)}")
        self.style = style
        self.palette = color_table([info.color for info in classes], unlabelled_color(classes))
        seen: dict[tuple[int, int, int], str] = {}
        for info in classes:
            if style == "colour" and info.color in seen:
                raise InputError(
                    f"classes {seen[info.color]!r} and {info.name!r} have the same colour: "
                    "masks in colour cannot tell them apart, choose grey or indexed"
                )
            seen[info.color] = info.name

    def encode(self, mask: UInt8[np.ndarray, "y x"]) -> bytes:
        if self.style == "colour":
            return png(Image.fromarray(self.palette[mask]))
        picture = Image.fromarray(mask)
        if self.style == "indexed":
            picture.putpalette(self.palette.tobytes())  # turns the grey picture into an indexed one, values kept
        return png(picture)

    def as_read(self, mask: UInt8[np.ndarray, "y x"]) -> UInt8[np.ndarray, "y x *channel"]:
        """What ``read_png`` gives of the encoded mask."""
        return self.palette[mask] if self.style == "colour" else mask


def png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def image_png(image: UInt8[np.ndarray, "y x channel"]) -> bytes:
    """Grey images become one-channel files."""
    return png(Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image))


def read_png(data: bytes | Path) -> np.ndarray:
    """Pixels as [y, x] or [y, x, channel]; WorkError where it is no picture."""
    try:
        with Image.open(data if isinstance(data, Path) else io.BytesIO(data)) as picture:
            return np.asarray(picture)
    except (OSError, SyntaxError, ValueError) as error:  # what Pillow says of damaged files
        raise WorkError(f"{data if isinstance(data, Path) else 'a picture'} cannot be read back: {error}") from error


def read_image(data: bytes | Path) -> UInt8[np.ndarray, "y x channel"]:
    pixels = read_png(data)
    return pixels[..., None] if pixels.ndim == 2 else pixels


def npy(values: Shaped[np.ndarray, "..."]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values, allow_pickle=False)
    return buffer.getvalue()


def read_npy(data: bytes | Path) -> np.ndarray:
    """WorkError where it is no array."""
    try:
        content = data.read_bytes() if isinstance(data, Path) else data
        return np.load(io.BytesIO(content), allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise WorkError(f"{data if isinstance(data, Path) else 'an array'} cannot be read back: {error}") from error


def encode_map(values: Shaped[np.ndarray, "y x *channel"]) -> tuple[str, bytes]:
    """Suffix and bytes of a per-pixel array: PNG for whole numbers of one channel (8 or 16 bit), NPY for all else."""
    if values.ndim == 2 and values.dtype in (np.uint8, np.uint16):
        return "png", png(Image.fromarray(values))
    return "npy", npy(values)


def decode_map(suffix: str, data: bytes | Path) -> np.ndarray:
    """The inverse of ``encode_map``."""
    return read_png(data) if suffix == "png" else read_npy(data)


def map_suffix(array_dtype: str, dims: Sequence[str]) -> str:
    """The suffix that ``encode_map`` gives to an array of this type and these dimensions."""
    return "png" if array_dtype in ("uint8", "uint16") and len(dims) == 3 else "npy"
