"""FCN: VGG16's size, sizes kept, bilinear at the start, torchvision's names, and one step that helps."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from labelfactory.errors import InputError
from labelfactory.factory.segmenters.backbones import load_backbone_weights
from labelfactory.factory.segmenters.fcn import FCN, Upsample

# torchvision's vgg16 state dict: the layers that have weights, and its parameter count from its own documentation.
VGG16_CONVS = {0: 64, 2: 64, 5: 128, 7: 128, 10: 256, 12: 256, 14: 256, 17: 512, 19: 512, 21: 512, 24: 512, 26: 512}
VGG16_PARAMETERS = 138_357_544


def vgg16_state() -> dict[str, torch.Tensor]:
    """Of torchvision's shape, on the meta device."""
    state, channels = {}, 3
    with torch.device("meta"):
        for index, width in (VGG16_CONVS | {28: 512}).items():
            state[f"features.{index}.weight"] = torch.empty(width, channels, 3, 3)
            state[f"features.{index}.bias"] = torch.empty(width)
            channels = width
        for index, (c_in, c_out) in {0: (25088, 4096), 3: (4096, 4096), 6: (4096, 1000)}.items():
            state[f"classifier.{index}.weight"] = torch.empty(c_out, c_in)
            state[f"classifier.{index}.bias"] = torch.empty(c_out)
    return state


def test_the_state_dict_that_we_test_with_has_vgg16s_size() -> None:
    assert sum(v.numel() for v in vgg16_state().values()) == VGG16_PARAMETERS


@pytest.mark.parametrize("stride", [32, 16, 8])
def test_backbone_has_the_papers_134_million_parameters_and_takes_all_of_vgg16(stride: int) -> None:
    with torch.device("meta"):
        net = FCN(21, stride)
    body = {k: v for k, v in net.state_dict().items() if k.startswith(("features", "fc"))}
    assert sum(v.numel() for v in body.values()) == VGG16_PARAMETERS - 1000 * 4097
    assert round(sum(v.numel() for v in body.values()) / 1e6) == 134  # table 1
    given = net.backbone_state(vgg16_state())
    assert {k: v.shape for k, v in given.items()} == {k: v.shape for k, v in body.items()}


@pytest.mark.parametrize("stride", [32, 16, 8])
@pytest.mark.parametrize("upsampling", ["nearest", "bilinear", "transposed"])
@pytest.mark.parametrize("size", [(64, 64), (33, 70)])
def test_output_has_the_inputs_size(stride: int, upsampling: str, size: tuple[int, int]) -> None:
    with torch.device("meta"):
        assert FCN(5, stride, upsampling)(torch.empty(2, 3, *size)).shape == (2, 5, *size)


@pytest.mark.parametrize("factor", [2, 8, 16, 32])
def test_transposed_upsampling_starts_as_bilinear_up_to_the_border(factor: int) -> None:
    x = torch.randn(1, 3, 5, 4)
    expected = F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)
    torch.testing.assert_close(Upsample(3, factor, "transposed", learned=True)(x), expected, rtol=1e-5, atol=1e-5)


def test_only_the_last_upsampling_is_fixed() -> None:
    with torch.device("meta"):
        net = FCN(3, 8)
    frozen = [name for name, p in net.named_parameters() if not p.requires_grad]
    assert frozen == ["upscore.deconv.weight"]


def test_scores_start_at_zero_and_one_step_lowers_the_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labelfactory.factory.segmenters.fcn.nn.Conv2d", _Thin)
    torch.manual_seed(0)
    net = FCN(3, 8, dropout=0.0)
    x, y = torch.rand(2, 3, 32, 32), torch.randint(0, 3, (2, 32, 32))
    assert (net(x) == 0).all()
    optimiser = torch.optim.SGD(net.parameters(), lr=0.01)
    before = F.cross_entropy(net(x), y)
    before.backward()
    optimiser.step()
    assert F.cross_entropy(net(x), y) < before


class _Thin(torch.nn.Conv2d):
    """fc6 and fc7 with 64 channels instead of 4,096: the same network, in a test's time."""

    def __init__(self, c_in: int, c_out: int, *args: int, **kwargs: int) -> None:
        super().__init__(min(c_in, 512) if c_in < 4096 else 64, c_out if c_out < 4096 else 64, *args, **kwargs)


def test_weights_of_another_network_and_missing_files_are_refused(tmp_path: Path) -> None:
    with torch.device("meta"):
        net = FCN(3)
    with pytest.raises(InputError, match="no such file"):
        load_backbone_weights(net, tmp_path / "none.pth")
    torch.save({"conv1.weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(InputError, match=r"lacks fc6.bias .*another network"):
        load_backbone_weights(net, tmp_path / "other.pth")
    (tmp_path / "text.pth").write_text("weights")
    with pytest.raises(InputError, match="is no file of weights"):
        load_backbone_weights(net, tmp_path / "text.pth")


def test_unknown_strides_and_upsamplings_are_named() -> None:
    with pytest.raises(InputError, match="no FCN-4s"):
        FCN(3, 4)
    with pytest.raises(InputError, match="unknown upsampling 'cubic'"):
        Upsample(3, 2, "cubic", learned=True)
