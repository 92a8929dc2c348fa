"""Fine-tuning: a network that begins with another one's weights, and stages that stay as they are."""

from pathlib import Path

import pytest
import torch

from labelfactory.errors import InputError
from labelfactory.factory.pairs.augment import Batch, augment
from labelfactory.factory.pairs.augmentation import ART, Augmentation
from labelfactory.factory.segmenters.catalogue import build_segmenter, save_segmenter
from labelfactory.factory.segmenters.starting import start_from

CLASSES = [{"name": str(i), "color": [i, 0, 0], "thing": False} for i in range(4)]


def saved(path: Path, name: str, classes: int, **options: int) -> dict[str, torch.Tensor]:
    """Weights of a network that was written to a file."""
    torch.manual_seed(1)
    network = build_segmenter(name, 3, classes, **options)
    told = {"name": name, "image_channels": 3, "classes": CLASSES[:classes], "options": options}
    save_segmenter(network, path, told)
    return network.state_dict()


def test_weights_are_taken_and_a_head_for_other_classes_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    state = saved(path, "unet-small", 3, width=4)
    same = build_segmenter("unet-small", 3, 3, width=4)
    start_from(same, path, "unet-small")
    assert all(torch.equal(value, state[name]) for name, value in same.state_dict().items())
    other = build_segmenter("unet-small", 3, 2, width=4)
    with pytest.warns(UserWarning, match="2 tensors do not fit and begin anew: score"):
        start_from(other, path, "unet-small")
    found = other.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in found.items() if not name.startswith("score"))


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    saved(path, "unet-small", 3, width=4)
    with pytest.raises(InputError, match="is of unet-small"):
        start_from(build_segmenter("unet", 3, 3, width=4), path, "unet")
    with pytest.raises(InputError, match="the same options"):
        start_from(build_segmenter("unet-small", 3, 3, width=8), path, "unet-small")


@pytest.mark.parametrize(("name", "stages"), [("unet-small", 4), ("deeplabv3plus-mobilenetv2", 8)])
def test_frozen_stages_stay_as_they_are(name: str, stages: int) -> None:
    network = build_segmenter(name, 3, 2)
    assert len(network.stages()) == stages
    with pytest.raises(InputError, match=f"has {stages} stages"):
        network.freeze(stages + 1)
    network.freeze(stages - 1)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    network.train()
    optimiser = torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], lr=0.1)
    network(torch.rand(2, 3, 32, 32)).square().mean().backward()
    optimiser.step()
    frozen = {id(p) for module in network.frozen for p in (*module.parameters(), *module.buffers())}
    named = [*network.named_parameters(), *network.named_buffers()]
    kept = [key for key, value in named if torch.equal(before.get(key, value), value)]
    assert {key for key, value in named if id(value) in frozen} <= set(kept)
    assert len(kept) < len(named)
    last = [p for module in network.stages()[-1] for p in module.parameters()]
    assert all(p.requires_grad for p in last)


def test_every_parameter_of_an_encoder_is_in_one_stage() -> None:
    for name, part in (("deeplabv3plus-mobilenetv2", "backbone"), ("fcn32s", "features"), ("unet-small", "down")):
        with torch.device("meta"):
            network = build_segmenter(name, 3, 2)
        staged = [id(p) for stage in network.stages() for module in stage for p in module.parameters()]
        assert len(set(staged)) == len(staged)
        assert {id(p) for p in network.get_submodule(part).parameters()} <= set(staged)


def test_art_mirrors_left_and_right_alone() -> None:
    mask = torch.arange(16 * 16).reshape(1, 16, 16)
    batch = Batch(mask[:, None].float() / 256, mask, torch.ones(1, 16, 16))
    found = set()
    for seed in range(16):
        made = augment(batch, Augmentation(dihedral=False, mirror=True), torch.Generator().manual_seed(seed))
        assert torch.equal((made.images[:, 0] * 256).long(), made.masks)
        found.add(tuple(made.masks.flatten().tolist()))
    assert found == {tuple(mask.flatten().tolist()), tuple(mask.flip(2).flatten().tolist())}
    assert ART.mirror
    assert not ART.dihedral
