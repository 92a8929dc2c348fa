"""Any module as a generator: its activations are the feature maps; nobody's code runs unless they are trusted."""

import sys
from pathlib import Path

import pytest
import torch
from command_line import Factory
from generator_contract import GeneratorContract
from torch import nn

from labelfactory.errors import InputError
from labelfactory.factory.families import open_generator
from labelfactory.factory.generator import ImageGenerator
from labelfactory.factory.wrapped.family import TRUSTED, wrap
from labelfactory.factory.wrapped.order import WrapOrder

CODE = """
import torch
from torch import nn

def dcgan():
    torch.manual_seed(0)
    def up(a, b, first=False):
        stride, padding = (1, 0) if first else (2, 1)
        return [nn.ConvTranspose2d(a, b, 4, stride, padding, bias=False), nn.BatchNorm2d(b), nn.ReLU(True)]
    return nn.Sequential(*up(12, 16, True), *up(16, 12), *up(12, 8), nn.ConvTranspose2d(8, 3, 4, 2, 1), nn.Tanh())

def flat():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(12, 64), nn.LeakyReLU(0.2), nn.Unflatten(1, (1, 8, 8)), nn.Sigmoid())

def number():
    return 3

def broken():
    raise RuntimeError("no\\nweights")
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "somebodys_gan.py").write_text(CODE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv(TRUSTED, "")
    monkeypatch.delitem(sys.modules, "somebodys_gan", raising=False)
    return tmp_path


class TestWrapped(GeneratorContract):
    family = "wrapped"

    @pytest.fixture
    def path(self, package: Path) -> Path:
        wrap(WrapOrder("somebodys_gan:dcgan", 12, package / "g.safetensors"))
        return package / "g.safetensors"

    def layers(self, generator: ImageGenerator) -> list[nn.Module]:
        network = generator._network  # type: ignore[attr-defined]
        with torch.no_grad():  # kernels of an even size: the picture is made of what lies on both sides alike
            for module in network.modules():
                if isinstance(module, nn.ConvTranspose2d):
                    module.weight.copy_((module.weight + module.weight.flip(2, 3)) / 2)
        return [module for module in network if isinstance(module, nn.ReLU)]

    def test_maps_are_the_activations_and_the_last_has_the_pictures_size(self, opened: ImageGenerator) -> None:
        assert opened.latent_shape == (12, 1, 1)
        assert opened.feature_channels == [16, 12, 8]
        assert opened.feature_sizes == [(4, 4), (8, 8), (32, 32)]


def test_nobodys_code_runs_unless_it_is_trusted(
    package: Path, factory: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = factory("wrap", "--module", "somebodys_gan:dcgan", "--z-dim", 12, "--out", package / "g.safetensors")
    assert done.code == 0, done.err
    assert "32 x 32 pixels, 3 channels, 36 features" in done.out
    assert f"{TRUSTED}=somebodys_gan" in done.out
    monkeypatch.setenv(TRUSTED, "another")
    monkeypatch.delitem(sys.modules, "somebodys_gan")
    with pytest.raises(InputError, match="runs somebodys_gan:dcgan, which is somebody's code"):
        open_generator(package / "g.safetensors", "cpu")
    assert "somebodys_gan" not in sys.modules


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("somebodys_gan:flat", "has no feature maps"),
        ("somebodys_gan:number", "gave a int"),
        ("somebodys_gan:broken", "RuntimeError: no weights"),
        ("somebodys_gan:missing", "AttributeError"),
        ("no_such_package:f", "ModuleNotFoundError"),
        ("not a name", "package.module:function"),
    ],
)
def test_what_is_wrong_with_a_module_is_one_line(module: str, line: str, package: Path, factory: Factory) -> None:
    refused = factory("wrap", "--module", module, "--z-dim", 12, "--out", package / "x.safetensors")
    assert refused.code == 2
    assert line in refused.err
    assert len(refused.err.strip().splitlines()) == 1
    assert not (package / "x.safetensors").exists()
