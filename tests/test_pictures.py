"""One reader of pictures: a file and its content are the same to it, and whatever is wrong is one line."""

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from labelfactory.errors import InputError
from labelfactory.interpreters.classes import NUCLEI_CLASSES
from labelfactory.interpreters.pictures import open_picture, read_image, read_mask, read_object_numbers, save_mask


def png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "png")
    return buffer.getvalue()


@given(arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 255)))
def test_what_is_saved_as_a_mask_is_read_back(mask: np.ndarray) -> None:
    buffer = io.BytesIO()
    save_mask(buffer, mask, NUCLEI_CLASSES)
    np.testing.assert_array_equal(read_mask(buffer.getvalue()), mask)
    np.testing.assert_array_equal(read_object_numbers(buffer.getvalue()), mask)


def test_a_file_and_its_content_are_the_same(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 4), dtype=np.uint8)
    pictures = {
        "grey": (Image.fromarray(pixels[..., 0]), pixels[..., :1]),
        "grey and alpha": (Image.fromarray(pixels[..., :2], mode="LA"), pixels[..., :1]),
        "colour": (Image.fromarray(pixels[..., :3]), pixels[..., :3]),
        "colour and alpha": (Image.fromarray(pixels), pixels[..., :3]),
    }
    for name, (picture, expected) in pictures.items():
        (tmp_path / name).write_bytes(png(picture))
        for source in (tmp_path / name, png(picture)):
            np.testing.assert_array_equal(read_image(source), expected)


def test_object_numbers_beyond_8_bits() -> None:
    numbers = np.array([[0, 1], [300, 65535]], np.uint16)
    np.testing.assert_array_equal(read_object_numbers(png(Image.fromarray(numbers))), numbers)


def test_what_is_wrong_is_one_line_with_the_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.png: no such file"):
        open_picture(tmp_path / "nowhere.png")
    with pytest.raises(InputError, match=r"^masks/a.png: cannot be read as a picture") as told:
        open_picture(b"\x89PNG\n\nbroken", "masks/a.png")
    assert "\n" not in str(told.value)
    with pytest.raises(InputError, match=r"^picture: a picture of mode I;16; expected 8-bit grey or RGB"):
        read_image(png(Image.fromarray(np.zeros((2, 2), np.uint16))))
    colour = png(Image.fromarray(np.zeros((2, 2, 3), np.uint8)))
    with pytest.raises(InputError, match=r"^a: a picture of mode RGB; expected an 8-bit indexed or grey mask"):
        read_mask(colour, "a")
    with pytest.raises(InputError, match=r"^a: a picture of mode RGB; expected 8- or 16-bit numbers"):
        read_object_numbers(colour, "a")
