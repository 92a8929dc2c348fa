"""SegFormer, UperNet and Mask2Former, tiny, behind the same interface."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from tiny_segmenters import TINY

from labelfactory.errors import InputError
from labelfactory.factory.segmenters.catalogue import load_segmenter, save_segmenter
from labelfactory.factory.segmenters.transformers_models import TransformersSegmenter

pytest.importorskip("transformers", reason="the optional extra is not installed: pip install labelfactory[hf]")
# The library warns about its own deprecations; they are not ours to fix.
pytestmark = pytest.mark.filterwarnings("ignore")


def overrides(architecture: str) -> dict[str, Any]:
    return TINY[architecture]["overrides"]


@pytest.mark.parametrize("architecture", ["segformer", "upernet"])
def test_it_keeps_the_size_and_steps_lower_the_loss(architecture: str) -> None:
    torch.manual_seed(0)
    net = TransformersSegmenter(architecture, 3, overrides=overrides(architecture))
    x, y = torch.rand(2, 3, 64, 96), torch.randint(0, 3, (2, 64, 96))
    optimiser = torch.optim.AdamW(net.parameters(), lr=1e-3)
    losses = []
    for _ in range(5):
        logits = net(x)
        assert logits.shape == (2, 3, 64, 96)
        loss = F.cross_entropy(logits, y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


def test_a_saved_folder_is_loaded_and_its_head_made_anew(tmp_path: Path) -> None:
    net = TransformersSegmenter("segformer", 7, overrides=overrides("segformer"))
    net.model.save_pretrained(tmp_path)
    again = TransformersSegmenter("segformer", 3, folder=tmp_path)
    assert again(torch.rand(1, 3, 64, 64)).shape == (1, 3, 64, 64)
    theirs = net.model.state_dict()
    for key, value in again.model.state_dict().items():
        assert "classifier" in key or torch.equal(value, theirs[key])
    recipe = {"name": "segformer", "image_channels": 1, "classes": ["a", "b", "c"]}
    save_segmenter(again, tmp_path / "net.safetensors", recipe)
    loaded, _ = load_segmenter(tmp_path / "net.safetensors")
    images = torch.randint(0, 256, (1, 64, 64, 1), dtype=torch.uint8)
    assert torch.equal(loaded.probabilities(images), again.probabilities(images))


def test_wrong_names_and_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown architecture 'sam'"):
        TransformersSegmenter("sam", 2)
    with pytest.raises(InputError, match=r"no config\.json"):
        TransformersSegmenter("segformer", 2, folder=tmp_path)
