"""Segmenters by name; a trained one comes back from disk as it was."""

from pathlib import Path

import pytest
import torch

from labelfactory.errors import InputError
from labelfactory.factory.segmenters.architectures import serving
from labelfactory.factory.segmenters.catalogue import build_segmenter, load_segmenter, save_segmenter

RECIPE = {
    "name": "unet",
    "image_channels": 1,
    "classes": ["background", "nucleus"],
    "options": {"width": 4, "depth": 1},
}


TRANSFORMERS = ("segformer", "upernet", "mask2former", "mask2former-tiny", "eomt", "eomt-tiny")


@pytest.mark.parametrize(
    "name", [name for name in serving("semantic") if name not in TRANSFORMERS and name != "unet-valid"]
)
def test_every_name_builds_and_gives_logits_of_the_images_size(name: str) -> None:
    with torch.device("meta"):
        net = build_segmenter(name, 1, 4).eval()
        images = torch.empty(1, 40, 48, 1, dtype=torch.uint8)
        assert net(net.prepare(images)).shape == (1, 4, 40, 48)


def test_save_and_load(tmp_path: Path) -> None:
    net = build_segmenter("unet", 1, 2, width=4, depth=1)
    path = tmp_path / "net.safetensors"
    save_segmenter(net, path, RECIPE)
    loaded, recipe = load_segmenter(path)
    assert recipe == RECIPE
    assert not loaded.training
    images = torch.randint(0, 256, (1, 16, 16, 1), dtype=torch.uint8)
    assert torch.equal(loaded.probabilities(images), net.probabilities(images))


def test_buffers_that_are_not_saved_are_real_after_loading(tmp_path: Path) -> None:
    """The ImageNet statistics are no part of the file; loading must not leave them without data."""
    recipe = RECIPE | {"name": "deeplabv3plus-resnet50", "options": {}}
    net = build_segmenter("deeplabv3plus-resnet50", 1, 2)
    save_segmenter(net, tmp_path / "net.safetensors", recipe)
    loaded, _ = load_segmenter(tmp_path / "net.safetensors")
    images = torch.randint(0, 256, (1, 16, 16, 1), dtype=torch.uint8)
    assert torch.equal(loaded.probabilities(images), net.probabilities(images))


def test_wrong_names_options_and_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"unknown segmenter 'unet3'.*unet-small"):
        build_segmenter("unet3", 1, 2)
    with pytest.raises(InputError, match=r"does not take these options.*colour"):
        build_segmenter("unet", 1, 2, colour=True)
    with pytest.raises(InputError, match="no segmenter at"):
        load_segmenter(tmp_path / "none.safetensors")
    (tmp_path / "text.safetensors").write_text("nothing")
    with pytest.raises(InputError, match="is not a whole segmenter file"):
        load_segmenter(tmp_path / "text.safetensors")
    torch.save({}, tmp_path / "w.pth")
    with pytest.raises(InputError, match="has no pretrained backbone"):
        build_segmenter("unet", 1, 2, backbone_weights=tmp_path / "w.pth", width=2, depth=1)
