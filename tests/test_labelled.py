"""What people labelled, read from folders and zips; whatever is wrong is named in one line."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from disc_world import write_folder, zip_of
from PIL import Image

from labelfactory.errors import InputError
from labelfactory.factory.pairs.labelled import LabelledPairs, Pictures, parse_mapping


def test_a_folder_and_its_zip_are_the_same(tmp_path: Path) -> None:
    folder = LabelledPairs(write_folder(tmp_path / "real"))
    (tmp_path / "real" / ".DS_Store").write_bytes(b"x")
    for inside in ("", "real/"):
        zipped = LabelledPairs(zip_of(tmp_path / "real", tmp_path / "real.zip", inside))
        assert len(zipped) == len(folder) == 6
        assert [c.name for c in zipped.classes or ()] == ["background", "disc"]
        assert (zipped.classes or ())[1].thing
        for a, b in zip(folder, zipped, strict=True):
            assert a.name == b.name
            assert np.array_equal(a.image, b.image)
            assert np.array_equal(a.mask, b.mask)


def test_binary_pictures_have_objects(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "real")
    plain = LabelledPairs(folder)
    plain.settle_white(2)
    wanted = [pair.mask for pair in plain]
    for path in (folder / "masks").iterdir():
        Image.fromarray(np.array(Image.open(path)).astype(bool).astype(np.uint8) * 255).save(path)
    binary = LabelledPairs(folder)
    with pytest.warns(UserWarning, match="255 is read as class 1"):
        binary.settle_white(2)
    for pair, mask in zip(binary, wanted, strict=True):
        np.testing.assert_array_equal(pair.mask, mask)
    three = LabelledPairs(folder)
    three.settle_white(3)  # of more classes nobody knows which is meant
    assert set(np.unique(three[0].mask)) <= {0, 255}


def test_masks_elsewhere_with_numbered_objects_and_groups(tmp_path: Path) -> None:
    numbers = np.array([[0, 1, 2, 7]], np.uint8)
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        Image.fromarray(numbers * 10).save(tmp_path / "a.png")
        archive.write(tmp_path / "a.png", "a.png")
        archive.writestr("source.json", json.dumps({"a.png": "slide 3"}))
    with zipfile.ZipFile(tmp_path / "masks.zip", "w") as archive:
        Image.fromarray(numbers).save(tmp_path / "a.png")
        archive.write(tmp_path / "a.png", "a.png")
    mapping = parse_mapping("0:0,1:1,2-5:2")
    pair = LabelledPairs(tmp_path / "images.zip", tmp_path / "masks.zip", mapping, numbered=True)[0]
    assert pair.mask.tolist() == [[0, 1, 2, 255]]
    assert pair.instances is not None
    assert pair.instances.tolist() == [[0, 1, 2, 7]]
    assert pair.group == "slide 3"


def test_pictures_alone_count_as_not_labelled(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "real", n=3)
    for path in (folder, folder / "images", zip_of(folder, tmp_path / "real.zip")):
        pictures = Pictures(path)
        assert [p.name for p in pictures] == ["disc0", "disc1", "disc2"]
        assert np.array_equal(pictures[1].image, LabelledPairs(folder)[1].image)
        assert (pictures[1].mask == 255).all()
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no pictures"):
        Pictures(tmp_path / "empty")


def test_an_instances_folder_with_16_bit_numbers(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "real", n=1)
    (folder / "instances").mkdir()
    numbers = np.full((16, 16), 300, np.uint16)
    Image.fromarray(numbers).save(folder / "instances" / "disc0.png")
    pair = LabelledPairs(folder)[0]
    assert pair.instances is not None
    assert (pair.instances == 300).all()


def test_colour_images_and_mappings_with_bad_parts(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "real", n=1)
    Image.fromarray(np.zeros((16, 16, 4), np.uint8)).save(folder / "images" / "disc0.png")
    assert LabelledPairs(folder)[0].image.shape == (16, 16, 3)
    for text in ("1", "1:x", "9-2:1", "0:256", "300:1", ""):
        with pytest.raises(InputError, match="VALUE:CLASS"):
            parse_mapping(text)


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="neither a folder nor a zip"):
        LabelledPairs(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no pictures in images/"):
        LabelledPairs(tmp_path / "empty")

    folder = write_folder(tmp_path / "real", n=2)
    (folder / "masks" / "disc1.png").unlink()
    with pytest.raises(InputError, match=r"1 of 2 images have no mask.*disc1.png"):
        LabelledPairs(folder)
    Image.fromarray(np.zeros((8, 16), np.uint8)).save(folder / "masks" / "disc1.png")
    with pytest.raises(InputError, match="disc1: the image is 16 x 16, its mask 16 x 8"):
        LabelledPairs(folder)[1]
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(folder / "masks" / "disc1.png")
    with pytest.raises(InputError, match="mode RGB; expected an 8-bit indexed or grey mask"):
        LabelledPairs(folder)[1]
    (folder / "masks" / "disc1.png").write_bytes(b"\x89PNG broken")
    with pytest.raises(InputError, match=r"masks/disc1\.png: cannot be read as a picture"):
        LabelledPairs(folder)[1]
    (folder / "images" / "disc1.jpg").write_bytes(b"")
    with pytest.raises(InputError, match="names must differ"):
        LabelledPairs(folder)


@pytest.mark.parametrize(
    ("content", "says"),
    [("{", "no JSON"), ("3", "list of classes"), ('["disc"]', "classes"), ('[{"color": [0, 0, 0]}]', "name")],
)
def test_a_bad_list_of_classes_is_named(tmp_path: Path, content: str, says: str) -> None:
    from labelfactory.errors import InputError as LabelError

    folder = write_folder(tmp_path / "real", n=1)
    (folder / "classes.json").write_text(content)
    with pytest.raises((InputError, LabelError), match=says):
        LabelledPairs(folder)


def test_a_damaged_zip_is_named(tmp_path: Path) -> None:
    path = zip_of(write_folder(tmp_path / "real", n=1), tmp_path / "real.zip")
    data = bytearray(path.read_bytes())
    at = data.find(b"IDAT")
    data[at + 6 : at + 16] = bytes(10)
    path.write_bytes(data)
    pairs = LabelledPairs(path)
    with pytest.raises(InputError, match="cannot be unpacked"):
        pairs[0]
