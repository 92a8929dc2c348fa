"""Pictures in and out: checked where they are read, one line for whatever is wrong with a file."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from labelfactory.errors import InputError
from labelfactory.interpreters.array_types import Int, UInt8
from labelfactory.interpreters.classes import LabelClass, palette
from labelfactory.interpreters.palettes import SAY_WHICH, recoded, value_name

SUFFIXES = (".png", ".jpg", ".jpeg", ".jfif", ".tif", ".tiff", ".bmp", ".webp", ".gif")
"""Endings of the files that count as pictures, in lower case."""


def save_mask(file: Path | io.BytesIO, mask: UInt8[np.ndarray, "height width"], classes: Sequence[LabelClass]) -> None:
    """Write a mask as 8-bit indexed PNG: values are class ids, the palette shows them in the classes' colours."""
    image = Image.fromarray(np.ascontiguousarray(mask))
    image.putpalette(palette(classes).tobytes(), rawmode="RGB")  # turns the grey image into an indexed one, values kept
    image.save(file, "png")


def read_image(source: Path | bytes, name: str = "") -> UInt8[np.ndarray, "height width channels"]:
    """An 8-bit grey or RGB picture; alpha is dropped, indexed colours are looked up. InputError for anything else.

    ``source`` is a file or its content; ``name`` is what errors call it (a file: its path).
    """
    image = open_picture(source, name)
    if image.mode in ("1", "L", "LA"):
        return np.array(image.convert("L"))[..., None]
    if image.mode in ("P", "RGB", "RGBA"):
        return np.array(image.convert("RGB"))
    raise _mode_error(image, source, name, "8-bit grey or RGB")


def read_mask(
    source: Path | bytes, name: str = "", classes: Sequence[LabelClass] | None = None
) -> UInt8[np.ndarray, "height width"]:
    """Class ids of an 8-bit indexed (or grey) picture. InputError for anything else, or where its palette shows the
    colours of ``classes`` in another order: an editor that sorts colours has then changed what the indices mean."""
    image = open_picture(source, name)
    if image.mode not in ("P", "L"):
        raise _mode_error(
            image, source, name, "an 8-bit indexed or grey mask of class ids (`factory import-labels` converts colours)"
        )
    if classes is not None and image.mode == "P":
        do = f"read it with `factory import-labels`, and {SAY_WHICH}"
        if table := recoded(image, classes, called(source, name), do):
            index, meant = next((i, v) for i, v in table.items() if i != v)
            raise InputError(
                f"{called(source, name)}: index {index} is class {value_name(index, classes)!r}, but has the colour of "
                f"{value_name(meant, classes)!r}: the palette is in another order; `factory import-labels` reads such "
                "masks by their colours"
            )
    return np.array(image)


def read_object_numbers(source: Path | bytes, name: str = "") -> Int[np.ndarray, "height width"]:
    """Numbers of objects (0: none) of an indexed or grey picture of 8 or 16 bits. InputError for anything else."""
    image = open_picture(source, name)
    if image.mode not in ("P", "L", "I", "I;16"):
        raise _mode_error(image, source, name, "8- or 16-bit numbers of objects")
    return np.array(image).astype(np.int64)


def open_picture(source: Path | bytes, name: str = "") -> Image.Image:
    """A decoded picture of any kind, turned as its EXIF orientation says: as people see it and labelling tools show it.

    InputError where there is no such file, none that Pillow can decode, or several frames in it.
    """
    if isinstance(source, Path) and not source.is_file():
        raise InputError(f"{source}: no such file")
    try:
        data = source if isinstance(source, bytes) else source.read_bytes()
        stored = Image.open(io.BytesIO(data))  # from memory: no file handle stays open if decoding fails
        stored.load()
        frames = frames_of(stored)
        image = stored if frames > 1 else ImageOps.exif_transpose(stored)
    # Pillow's decoders meet broken files with whatever exception comes first
    except Exception as error:
        where = called(source, name)
        raise InputError(f"{where}: cannot be read as a picture ({type(error).__name__}: {one_line(error)})") from None
    if frames > 1:
        raise InputError(f"{called(source, name)}: holds {frames} frames; expected one picture a file: save each alone")
    return image


def frames_of(image: Image.Image) -> int:
    """Number of frames or pages. A photograph's previews and depth maps (a phone's "MPO") do not count."""
    return 1 if image.format == "MPO" else int(getattr(image, "n_frames", 1))


def one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:100]


def called(source: Path | bytes, name: str) -> str:
    return name or ("picture" if isinstance(source, bytes) else str(source))


def _mode_error(image: Image.Image, source: Path | bytes, name: str, expected: str) -> InputError:
    return InputError(f"{called(source, name)}: a picture of mode {image.mode}; expected {expected}")
