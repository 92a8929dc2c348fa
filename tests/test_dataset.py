"""Training sets: from folder, zip and URL; what is wrong with one is said in a line that names the file."""

import json
import zipfile
from pathlib import Path

import fsspec
import numpy as np
import pytest
import torch
from PIL import Image

from labelfactory.errors import InputError
from labelfactory.factory.training import dataset as module
from labelfactory.factory.training.dataset import ImageDataset


def write_images(folder: Path, count: int = 32, size: tuple[int, int] = (16, 16), mode: str = "L") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for i in range(count):
        shape = (*size[::-1], 3) if mode == "RGB" else size[::-1]
        Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(folder / f"{i:03}.png")
    return folder


def test_folder_zip_and_urls_are_the_same_images(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "images" / "00000").parent
    (folder / "00000" / ".DS_Store").write_bytes(b"x")
    (folder / "notes.txt").write_text("not an image")
    archive = tmp_path / "images.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in folder.rglob("*.png"):
            file.write(path, path.relative_to(folder))
    memory = fsspec.filesystem("memory")
    memory.put(str(folder / "00000"), "/set/00000", recursive=True)
    memory.put(str(archive), "/set.zip")
    sets = [ImageDataset(source) for source in (folder, archive, "memory://set", "memory://set.zip")]
    expected = np.array(Image.open(folder / "00000" / "007.png"))
    for images in sets:
        assert len(images) == 32
        assert (images.resolution, images.channels, images.label_dim) == (16, 1, 0)
        assert images.names[7] == "00000/007.png"
        assert np.array_equal(images.batch([7])[0, 0].numpy(), expected)
    assert sets[0].float_batch([0, 1]).min() >= -1


def test_any_size_is_cropped_or_padded_to_the_largest_fitting_square(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "x", size=(40, 24))
    Image.new("L", (20, 30), 255).save(folder / "999.tif")
    crop, pad = ImageDataset(folder), ImageDataset(folder, fit="pad", resolution=32)
    assert crop.resolution == 16
    assert (crop.batch([32]) == 255).all()
    padded = pad.batch([32])[0, 0]
    assert (padded[:, :5] == 0).all()
    assert (padded[:, 8:24] == 255).all()


def test_a_few_small_images_do_not_decide_the_resolution_of_all(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "x", size=(32, 32))
    for i in range(2):
        Image.new("L", (16, 16)).save(folder / f"small{i}.png")
    images = ImageDataset(folder)
    assert (len(images), images.resolution, images.channels) == (34, 16, 1)  # 32 of 34 are less than 95 %
    assert images.remarks() == []
    (folder / "small1.png").unlink()
    images = ImageDataset(folder)
    assert images.resolution == 32
    assert images.enlarged == ["small0.png"]
    assert images.remarks() == [
        "1 of 33 images are smaller than 32 pixels and are enlarged (remove them if in doubt): small0.png"
    ]


@pytest.mark.parametrize("suffix", ["png", "jpg", "jfif", "bmp", "tiff", "webp", "gif"])
def test_formats(suffix: str, tmp_path: Path) -> None:
    for i in range(32):
        Image.new("RGB", (8, 8), (i, 100, 200)).save(tmp_path / f"{i}.{suffix}", "JPEG" if suffix == "jfif" else None)
    assert ImageDataset(tmp_path).channels == 3


def test_channels_follow_the_images_or_the_wish(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "x", mode="RGB")
    assert ImageDataset(folder).batch([0]).shape == (1, 3, 16, 16)
    assert ImageDataset(folder, channels=1).batch([0]).shape == (1, 1, 16, 16)
    Image.new("L", (16, 16)).save(folder / "grey.png")
    with pytest.raises(InputError, match=r"grey\.png is grey, most others are not"):
        ImageDataset(folder)
    assert ImageDataset(folder, channels=3).batch([32]).shape == (1, 3, 16, 16)


def test_what_is_wrong_is_said_in_one_line_that_names_the_file(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "x")

    def refused(match: str, source: Path | str = folder, **settings: object) -> None:
        with pytest.raises(InputError, match=match) as error:
            ImageDataset(source, **settings)
        assert "\n" not in str(error.value)

    refused("no such folder or zip", tmp_path / "missing")
    refused("neither a folder nor a readable zip", folder / "000.png")
    refused("cannot be read", "memory://nothing/here.zip")
    refused("expected a power of two", resolution=48)
    refused("expected 'crop' or 'pad'", fit="stretch")
    refused(r"dataset\.json is missing", conditional=True)

    data = (folder / "003.png").read_bytes()
    (folder / "003.png").write_bytes(data[: len(data) // 2])
    refused(r"003\.png cannot be read as an image")
    (folder / "003.png").write_bytes(b"text")
    refused(r"003\.png cannot be read as an image")
    Image.fromarray(np.zeros((16, 16), dtype=np.uint16)).save(folder / "003.png")
    refused(r"003\.png has pixels of kind 'I;16'")
    (folder / "003.png").unlink()
    refused("holds 31 images .*expected at least 32")
    frames = [Image.new("L", (16, 16), i) for i in (0, 255)]
    frames[0].save(folder / "stack.tif", save_all=True, append_images=frames[1:])
    refused(r"stack\.tif holds 2 frames")


def test_class_labels_of_the_official_zip(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "x")
    names = [path.name for path in sorted(folder.glob("*.png"))]
    table = folder / "dataset.json"
    table.write_text(json.dumps({"labels": [[name, i % 3] for i, name in enumerate(names)]}))
    images = ImageDataset(folder, conditional=True)
    assert images.label_dim == 3
    assert images.labels.argmax(dim=1).tolist()[:4] == [0, 1, 2, 0]
    assert ImageDataset(folder).label_dim == 0
    table.write_text(json.dumps({"labels": [[name, [i / 32, 1.0]] for i, name in enumerate(names)]}))
    assert torch.allclose(ImageDataset(folder, conditional=True).labels[16], torch.tensor([0.5, 1.0]))
    table.write_text(json.dumps({"labels": [[name, 0] for name in names[1:]]}))
    with pytest.raises(InputError, match=r"dataset\.json has no label for 000\.png"):
        ImageDataset(folder, conditional=True)
    for bad in ("{", '{"labels": null}', '{"labels": [["000.png"]]}'):
        table.write_text(bad)
        with pytest.raises(InputError, match=r"dataset\.json"):
            ImageDataset(folder, conditional=True)


def test_sets_larger_than_memory_are_decoded_batch_by_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_images(tmp_path / "x")
    kept = ImageDataset(folder)
    monkeypatch.setattr(module, "CACHE_BYTES", 100)
    lazy = ImageDataset(folder)
    for now, then in [([1, 2], [5, 3]), ([5, 3], [0, 0]), ([4, 4], [])]:
        assert torch.equal(lazy.batch(now, then), kept.batch(now))
