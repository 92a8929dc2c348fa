"""torchvision's detectors pass the contract of objects where torchvision imports; elsewhere they say what they need."""

from pathlib import Path
from typing import Any

import pytest
import torch
from object_contract import ObjectContract, batch_for
from object_world import CLASSES

from labelfactory.errors import InputError
from labelfactory.factory.segmenters.architectures import SEGMENTERS
from labelfactory.factory.segmenters.catalogue import build_network
from labelfactory.factory.segmenters.settings import TrainingConfig
from labelfactory.factory.segmenters.tasks import Aim

try:
    import torchvision

    HERE = bool(torchvision.__version__)
except (ImportError, RuntimeError):
    HERE = False
needs_torchvision = pytest.mark.skipif(
    not HERE, reason="no torchvision that fits this torch: pip install labelfactory[detection]"
)

NAMES = ("mask-rcnn", "faster-rcnn", "retinanet", "keypoint-rcnn")
CASES = [(name, task) for name in NAMES for task in SEGMENTERS[name].tasks]


@needs_torchvision
@pytest.mark.slow
class TestTorchvision(ObjectContract):
    @pytest.fixture(params=CASES, ids=lambda case: "-".join(case))
    def case(self, request: pytest.FixtureRequest) -> tuple[str, str]:
        return request.param

    @pytest.fixture
    def steps(self, name: str) -> int:
        return 10 if name == "keypoint-rcnn" else 4

    @pytest.fixture
    def tiny(self) -> dict[str, Any]:
        return {"side": 64}


@pytest.mark.skipif(HERE, reason="torchvision is here")
def test_without_torchvision_it_says_what_to_install() -> None:
    with pytest.raises(InputError, match=r"mask-rcnn needs torchvision.*labelfactory\[detection\]"):
        build_network("mask-rcnn", 1, Aim("instance", CLASSES))


@needs_torchvision
@pytest.mark.slow
def test_weights_of_the_backbone_load_and_frozen_stages_stay(tmp_path: Path) -> None:
    weights = torchvision.models.mobilenet_v2(weights=None).state_dict()
    torch.save(weights, tmp_path / "mobilenet.pth")
    aim = Aim("instance", CLASSES)
    net = build_network("mask-rcnn", 1, aim, tmp_path / "mobilenet.pth", side=64, frozen_stages=3)
    state = net.state_dict()
    first = "model.backbone.body.0.0.weight"
    assert torch.equal(state[first], weights["features.0.0.weight"])
    before = {k: v.clone() for k, v in state.items()}
    batch = batch_for(net, aim)
    net.train()
    net.loss(net.answer(batch.images, batch), batch, TrainingConfig()).backward()
    torch.optim.SGD([p for p in net.parameters() if p.requires_grad], 0.1).step()
    after = net.state_dict()
    changed = {k for k in before if not torch.equal(before[k], after[k])}
    assert not any(k.startswith(("model.backbone.body.0.", "model.backbone.body.1.")) for k in changed)
    assert any(k.startswith("model.roi_heads") for k in changed)
