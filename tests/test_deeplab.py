"""DeepLabv3+: torchvision's ResNets inside, strides by dilation, the papers' pyramid, and one step that helps."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from labelfactory.errors import InputError
from labelfactory.factory.segmenters.backbones import ResNet, load_backbone_weights
from labelfactory.factory.segmenters.deeplab import DeepLabV3Plus
from labelfactory.factory.segmenters.mobilenet import MobileNetV2

# torchvision's documentation; its classifier has 1,000 x (2,048 + 1).
RESNET_PARAMETERS = {50: 25_557_032, 101: 44_549_160}


@pytest.mark.parametrize("depth", [50, 101])
def test_backbone_has_torchvisions_parameter_count(depth: int) -> None:
    with torch.device("meta"):
        net = ResNet(depth)
    assert sum(p.numel() for p in net.parameters()) == RESNET_PARAMETERS[depth] - 1000 * 2049


@pytest.mark.parametrize(("output_stride", "size"), [(32, 3), (16, 5), (8, 9)])
def test_output_stride_is_what_was_asked_for(output_stride: int, size: int) -> None:
    with torch.device("meta"):
        low, high = ResNet(50, output_stride)(torch.empty(1, 3, 65, 65))
    assert low.shape == (1, 256, 17, 17)
    assert high.shape == (1, 2048, size, size)


def test_dilations_replace_strides_with_the_multi_grid() -> None:
    def dilations(output_stride: int, stage: int) -> list[int]:
        blocks = ResNet(50, output_stride).get_submodule(f"layer{stage}")
        return [block.conv2.dilation[0] for block in blocks]

    with torch.device("meta"):
        assert dilations(16, 3) == [1] * 6
        assert dilations(16, 4) == [2, 4, 8]
        assert dilations(8, 3) == [2] * 6
        assert dilations(8, 4) == [4, 8, 16]
        assert dilations(32, 4) == [1, 1, 1]


@pytest.mark.parametrize("output_stride", [16, 8])
def test_output_has_the_inputs_size(output_stride: int) -> None:
    with torch.device("meta"):
        net = DeepLabV3Plus(7, "resnet101", output_stride)
        assert net(torch.empty(2, 3, 65, 50)).shape == (2, 7, 65, 50)
    rates = [branch[0].dilation[0] for branch in net.aspp.branches]
    assert rates == ([1, 6, 12, 18] if output_stride == 16 else [1, 12, 24, 36])


def test_torchvisions_state_dict_loads(tmp_path: Path) -> None:
    torch.manual_seed(1)
    donor = ResNet(50)
    state = donor.state_dict() | {"fc.weight": torch.zeros(1000, 2048), "fc.bias": torch.zeros(1000)}
    torch.save(state, tmp_path / "resnet50.pth")
    net = DeepLabV3Plus(3)
    load_backbone_weights(net, tmp_path / "resnet50.pth")
    assert torch.equal(net.backbone.layer4[2].conv3.weight, donor.layer4[2].conv3.weight)
    with torch.device("meta"), pytest.raises(InputError, match=r"lacks backbone\.layer3\.10"):
        load_backbone_weights(DeepLabV3Plus(3, "resnet101"), tmp_path / "resnet50.pth")


def test_one_step_lowers_the_loss() -> None:
    torch.manual_seed(0)
    net = DeepLabV3Plus(3, dropout=0.0)
    x, y = torch.rand(2, 3, 32, 32), torch.randint(0, 3, (2, 32, 32))
    optimiser = torch.optim.SGD(net.parameters(), lr=0.01)
    before = F.cross_entropy(net(x), y)
    before.backward()
    optimiser.step()
    assert F.cross_entropy(net(x), y) < before


def test_wrong_calls_are_named() -> None:
    with pytest.raises(InputError, match="output stride of 32"):
        DeepLabV3Plus(3, output_stride=32)
    with torch.device("meta"):
        with pytest.raises(InputError, match="no ResNet-18"):
            ResNet(18)
        with pytest.raises(InputError, match="two or more images"):
            DeepLabV3Plus(3)(torch.empty(1, 3, 32, 32))


def test_the_backbone_computes_what_the_transformers_library_computes() -> None:
    """An independent ResNet-50 with the stride in the 3x3 convolution, under other names."""
    transformers = pytest.importorskip("transformers", reason="the optional extra hf is not installed")
    torch.manual_seed(0)
    theirs = transformers.ResNetModel(transformers.ResNetConfig()).eval()
    ours = ResNet(50, output_stride=32).eval()
    renamed = {}
    for key, value in theirs.state_dict().items():
        name = key.replace("embedder.embedder.convolution", "conv1").replace("embedder.embedder.normalization", "bn1")
        parts = name.split(".")
        if parts[:2] == ["encoder", "stages"]:
            block = f"layer{int(parts[2]) + 1}.{parts[4]}"
            kind = {"convolution": "conv", "normalization": "bn"}
            if parts[5] == "shortcut":
                name = f"{block}.downsample.{int(parts[6] == 'normalization')}.{parts[7]}"
            else:
                name = f"{block}.{kind[parts[7]]}{int(parts[6]) + 1}.{parts[8]}"
        renamed[name] = value
    ours.load_state_dict(renamed)
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(ours(x)[1], theirs(x).last_hidden_state, rtol=1e-3, atol=1e-4)


def test_mobilenet_has_torchvisions_parameter_count_and_the_asked_for_stride() -> None:
    whole, classifier, last = 3_504_872, 1000 * 1281, 1280 * 320 + 2 * 1280  # torchvision's documentation; left out
    with torch.device("meta"):
        assert sum(p.numel() for p in MobileNetV2().parameters()) == whole - classifier - last
        for output_stride, size in ((32, 3), (16, 5), (8, 9)):
            low, high = MobileNetV2(output_stride)(torch.empty(1, 3, 65, 65))
            assert (low.shape, high.shape) == ((1, 24, 17, 17), (1, 320, size, size))
    with pytest.raises(InputError, match="output stride of 4"):
        MobileNetV2(4)


def test_mobilenets_weights_load_and_a_step_helps(tmp_path: Path) -> None:
    torch.manual_seed(1)
    donor = MobileNetV2()
    left_out = {"features.18.0.weight": torch.zeros(1280, 320, 1, 1), "classifier.1.bias": torch.zeros(1000)}
    torch.save({k: v.half() for k, v in (donor.state_dict() | left_out).items()}, tmp_path / "mobilenet_v2.pth")
    net = DeepLabV3Plus(2, "mobilenetv2", dropout=0.0)
    load_backbone_weights(net, tmp_path / "mobilenet_v2.pth")
    ours, theirs = (n.features[5].conv[1][0].weight for n in (net.backbone, donor))
    torch.testing.assert_close(ours, theirs, atol=1e-3, rtol=1e-2)
    x, y = torch.rand(4, 3, 32, 32), torch.randint(2, (4, 32, 32))
    optimizer = torch.optim.SGD(net.parameters(), 0.05)
    losses = []
    for _ in range(6):
        loss = F.cross_entropy(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
