"""Pictures in and out: checked where they are read, one line for whatever is wrong with a file."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from labelfactory.errors import InputError
from labelfactory.interpreters.array_types import UInt8
from labelfactory.interpreters.classes import LabelClass, palette


def save_mask(path: Path, mask: UInt8[np.ndarray, "height width"], classes: Sequence[LabelClass]) -> None:
    """Write a mask as 8-bit indexed PNG: values are class ids, the palette shows them in the classes' colours."""
    image = Image.fromarray(np.ascontiguousarray(mask))
    image.putpalette(palette(classes).tobytes(), rawmode="RGB")  # turns the grey image into an indexed one, values kept
    image.save(path)


def read_image(path: Path) -> UInt8[np.ndarray, "height width channels"]:
    """An 8-bit grey or RGB picture; alpha is dropped, indexed colours are looked up. InputError for anything else."""
    image = open_picture(path)
    if image.mode in ("1", "L", "LA"):
        return np.array(image.convert("L"))[..., None]
    if image.mode in ("P", "RGB", "RGBA"):
        return np.array(image.convert("RGB"))
    raise InputError(f"{path}: a picture of mode {image.mode}; expected 8-bit grey or RGB")


def read_mask(path: Path) -> UInt8[np.ndarray, "height width"]:
    """Class ids of an 8-bit indexed (or grey) picture. InputError for anything else."""
    image = open_picture(path)
    if image.mode not in ("P", "L"):
        raise InputError(
            f"{path}: a picture of mode {image.mode}; expected an 8-bit indexed PNG of class ids "
            "(`factory import-labels` converts colour masks)"
        )
    return np.array(image)


def open_picture(path: Path) -> Image.Image:
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        image = Image.open(io.BytesIO(path.read_bytes()))  # no file handle stays open if decoding fails
        image.load()
    # Pillow's decoders meet broken files with whatever exception comes first
    except Exception as error:
        raise InputError(f"{path}: cannot be read as a picture ({type(error).__name__}: {one_line(error)})") from None
    return image


def one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:100]
