"""Names of images under the prefixes and endings that tools add."""

import pytest

from labelfactory.interpreters.formats.names import image_names


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("cat.png", "cat"),
        ("images/train/cat.JPG", "cat"),
        ("C:\\pictures\\cat.png", "cat"),
        ("images\\0a1b2c3d-cat.png", "cat"),
        ("cat_jpg.rf.0123456789abcdef0123456789abcdef.jpg", "cat"),
        ("0a1b2c3d-cat_png.rf.AbCdEf0123456789AbCd.png", "cat"),
        ("scan.v2.tiff", "scan.v2"),
        ("frame.001", "frame.001"),
        ("cat", "cat"),
    ],
)
def test_names(address: str, name: str) -> None:
    assert name in image_names(address)


def test_a_name_as_it_is_comes_first() -> None:
    assert image_names("0a1b2c3d-cat.png") == ("0a1b2c3d-cat", "cat")
    assert image_names("cat.png") == ("cat",)
    assert image_names("cat_mask.png", "_mask") == ("cat", "cat_mask")
    assert image_names("0a1b2c3-cat.png") == ("0a1b2c3-cat",)  # seven digits: no prefix of Label Studio's
