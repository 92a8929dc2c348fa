"""One reader of pictures: a file and its content are the same to it, and whatever is wrong is one line."""

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from nuclei_world import NUCLEI_CLASSES
from PIL import Image

from labelfactory.errors import InputError
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


def stored(shown: np.ndarray, orientation: int, format: str) -> bytes:
    """A picture that shows ``shown`` when it is turned as its EXIF orientation says."""
    back = {1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud,
            5: lambda a: a.transpose(1, 0, 2), 6: lambda a: np.rot90(a, 1),
            7: lambda a: np.rot90(a, 2).transpose(1, 0, 2), 8: lambda a: np.rot90(a, -1)}  # fmt: skip
    exif = Image.Exif()
    exif[0x112] = orientation
    buffer = io.BytesIO()
    lossless = (
        {"lossless": True} if format == "webp" else {"quality": 100, "subsampling": 0} if format == "jpeg" else {}
    )
    picture = Image.fromarray(np.ascontiguousarray(back[orientation](shown)))
    picture.save(buffer, format, exif=exif, **lossless)
    return buffer.getvalue()


@pytest.mark.parametrize("format", ["jpeg", "png", "tiff", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_as_people_see_them(orientation: int, format: str) -> None:
    """So masks that were drawn on them fit; labelling tools and browsers turn them too."""
    shown = np.zeros((6, 9, 3), np.uint8)
    shown[:2, :4] = 200
    shown[4:, 7:] = 100
    found = read_image(stored(shown, orientation, format))
    assert found.shape == shown.shape
    assert np.abs(found.astype(int) - shown).max() <= (3 if format == "jpeg" else 0)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_masks_are_turned_as_well(orientation: int) -> None:
    shown = np.zeros((6, 9, 1), np.uint8)
    shown[:2, :4] = 1
    colours = np.repeat(shown, 3, 2)
    with Image.open(io.BytesIO(stored(colours, orientation, "png"))) as picture:
        buffer = io.BytesIO()
        picture.convert("L").save(buffer, "png", exif=picture.getexif())
    np.testing.assert_array_equal(read_mask(buffer.getvalue()), shown[..., 0])


@pytest.mark.parametrize("format", ["tiff", "gif", "webp", "png"])
def test_several_frames_are_never_dropped_without_a_word(format: str) -> None:
    frames = [Image.fromarray(np.full((4, 5), v, np.uint8)) for v in (0, 90, 200)]
    buffer = io.BytesIO()
    frames[0].save(buffer, format, save_all=True, append_images=frames[1:])
    with pytest.raises(InputError, match=r"^stack: holds 3 frames; expected one picture a file"):
        read_image(buffer.getvalue(), "stack")
    buffer = io.BytesIO()
    frames[1].save(buffer, format, save_all=True)
    assert read_image(buffer.getvalue()).shape[:2] == (4, 5)


def test_a_phones_photograph_with_a_preview_is_one_picture() -> None:
    photograph, preview = (Image.fromarray(np.full((8, 8, 3), v, np.uint8)) for v in (40, 90))
    buffer = io.BytesIO()
    photograph.save(buffer, "mpo", save_all=True, append_images=[preview])
    assert abs(int(read_image(buffer.getvalue())[0, 0, 0]) - 40) < 4
