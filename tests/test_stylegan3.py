"""StyleGAN3, T and R: equal to the official arithmetic's numbers; its maps cover the picture and nothing else."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import DATA
from generator_contract import GeneratorContract
from official_format import module_tree, official_modules, pickled
from torch import Tensor, nn

from labelfactory.errors import InputError
from labelfactory.factory.checkpoints.filling import filled
from labelfactory.factory.families import open_generator
from labelfactory.factory.generator import ImageGenerator
from labelfactory.factory.latents import latents
from labelfactory.factory.stylegan3.config import Config, plan
from labelfactory.factory.stylegan3.filters import downsample, low_pass, upsample
from labelfactory.factory.stylegan3.networks import Generator


class Golden:
    """Weights of a small network of kind "t" or "r", and what the official arithmetic makes of them."""

    def __init__(self, kind: str) -> None:
        with np.load(DATA / f"golden_stylegan3{kind}.npz") as file:
            self.config = json.loads(str(file["config"]))
            self.values = {name: torch.from_numpy(file[name]) for name in file.files if name != "config"}
        self.weights = {n.removeprefix("param/"): v for n, v in self.values.items() if n.startswith("param/")}
        settings = {name: value for name, value in self.config.items() if name != "mapping_kwargs"}
        self.settings = Config.of(settings | {"mapping_layers": self.config["mapping_kwargs"]["num_layers"]})

    def network(self) -> Generator:
        return filled(Generator, self.settings.to_dict(), self.weights, "G_ema")

    def pickle(self, **more: Any) -> bytes:
        with official_modules() as easy_dict:
            kwargs = easy_dict(self.config | {"magnitude_ema_beta": 0.999})
            network = module_tree(self.weights, "Generator", _init_args=(), _init_kwargs=kwargs)
            return pickled({"G_ema": network, **more})


@pytest.fixture(scope="module", params=["t", "r"])
def golden(request: pytest.FixtureRequest) -> Golden:
    return Golden(request.param)


def near(mine: Tensor, theirs: Tensor, tolerance: float = 1e-4) -> bool:
    return float((mine - theirs).abs().max() / theirs.abs().max()) < tolerance


@torch.no_grad()
def test_every_layer_agrees_with_the_official_arithmetic(golden: Golden) -> None:
    network, values = golden.network(), golden.values
    ws = network.mapping(values["z"], None, 0.7)
    assert near(ws, values["ws"])
    x = network.synthesis.input(ws[:, 0])
    assert near(x[:1, :8], values["layer/input"])
    seen = 0
    for i, own in enumerate(network.synthesis.plan):
        x = getattr(network.synthesis, own.name)(x, ws[:, i + 1])
        if (name := f"layer/{own.name}") in values:
            assert near(x[:1, :8], values[name]), name
            seen += 1
    assert seen == 3
    assert near(network.synthesis(ws), values["image"])


def test_filters_are_designed_as_in_the_file(golden: Golden) -> None:
    own = Generator(**golden.settings.to_dict()).state_dict()
    for name, value in golden.weights.items():
        if "filter" in name:
            torch.testing.assert_close(own[name], value, atol=1e-6, rtol=1e-5)


def test_layers_of_the_papers_networks() -> None:
    """Sizes and channels of the published 1024 px configuration T (table and figure 4 of the paper)."""
    layers = plan(Config(512, 0, 512, 1024, 3))
    assert " ".join(p.name for p in layers) == (
        "L0_36_512 L1_36_512 L2_52_512 L3_52_512 L4_84_512 L5_148_512 L6_148_512 L7_276_323 L8_276_203 L9_532_128 "
        "L10_1044_81 L11_1044_51 L12_1044_32 L13_1024_32 L14_1024_3"
    )
    assert [p.size for p in layers][-2:] == [1024, 1024]
    assert [p.size - p.rate for p in layers[:-2]] == [20] * 13
    assert [p.critical for p in layers].count(True) == 3


def test_resampling_is_what_zeros_and_a_filter_give() -> None:
    torch.manual_seed(0)
    x, fir = torch.randn(2, 3, 5, 6), torch.tensor([1.0, 2, 4, 2, 1, 0.5])
    for up, low, high in ((2, 3, 4), (1, 4, 2), (3, -1, 5), (2, 0, -2)):
        zeros = torch.zeros(2, 3, 5 * up, 6 * up)
        zeros[:, :, ::up, ::up] = x
        padded = nn.functional.pad(zeros, [low, high, low, high])
        kernel = (torch.outer(fir, fir) * up**2).flip(0, 1).expand(3, 1, 6, 6)  # a true convolution
        expected = nn.functional.conv2d(padded, kernel, groups=3)
        torch.testing.assert_close(upsample(x, fir, up, low, high), expected, atol=1e-4, rtol=1e-4)
    symmetric = low_pass(6, 1.0, 0.5, 8.0)
    square, x = torch.outer(symmetric, symmetric), torch.randn(2, 3, 9, 8)
    torch.testing.assert_close(downsample(x, square, 2), downsample(x, symmetric, 2), atol=1e-6, rtol=1e-4)
    assert math.isclose(float(low_pass(12, 2.0, 1.0, 16.0, radial=True).sum()), 1, abs_tol=1e-5)
    radial = low_pass(12, 2.0, 1.0, 16.0, radial=True)
    torch.testing.assert_close(radial, radial.T)


def test_a_shift_of_the_input_shifts_picture_and_maps_alike(golden: Golden) -> None:
    """StyleGAN3's signal is continuous: moved by a quarter of the picture, everything is, the middle at least."""
    network = golden.network()
    with torch.no_grad():
        network.synthesis.input.affine.weight.zero_()
        network.synthesis.input.affine.bias.copy_(torch.tensor([1.0, 0, 0, 0]))
    ws = network.mapping(golden.values["z"][:1], None, 0.7)
    made: list[tuple[Tensor, list[Tensor]]] = []
    for shift in (0.0, 0.125):
        network.synthesis.input.transform[0, 2] = -shift  # in pictures, to the right
        features: list[Tensor] = []
        with torch.no_grad():
            made.append((network.synthesis(ws, features=features), features))
    (before, maps), (after, moved) = made
    for a, b in [(before, after), *zip(maps, moved, strict=True)]:
        pixels, margin = a.shape[3] // 8, a.shape[3] // 4
        unmoved = a[..., margin : 3 * margin, margin : 3 * margin]
        found = b[..., margin : 3 * margin, margin + pixels : 3 * margin + pixels]
        wrong = b[..., margin : 3 * margin, margin - pixels : 3 * margin - pixels]
        error = float((unmoved - found).square().mean() / unmoved.var())
        assert error < 0.25 * float((unmoved - wrong).square().mean() / unmoved.var()), a.shape


def test_what_is_wrong_with_a_file_is_said(tmp_path: Path) -> None:
    golden, file = Golden("t"), tmp_path / "x.pkl"
    for changes, line in [
        ({"img_resolution": 24}, "img_resolution is 24"),
        ({"num_layers": 9}, "G_ema has no synthesis.L0_36_16"),
        ({"some_new_part": 1}, "unknown setting some_new_part"),
        ({"conv_kernel": "3"}, "conv_kernel is '3'"),
        ({"img_channels": 4}, "makes pictures of 4 channels"),
    ]:
        broken = Golden("t")
        broken.config |= changes
        if changes.get("num_layers") == 9:
            broken.weights = {n: v for n, v in broken.weights.items() if "L0_" not in n}
        file.write_bytes(broken.pickle())
        with pytest.raises(InputError, match=line) as error:
            open_generator(file, "cpu")
        assert str(error.value).startswith(str(file))
    weights = {name: value for name, value in golden.weights.items() if "fc0" not in name}
    torch.save({"g_ema": weights}, file)
    with pytest.raises(InputError, match=r"no 'mapping\.fc0\.weight'"):
        open_generator(file, "cpu")


class StyleGAN3Contract(GeneratorContract):
    family = "stylegan3"
    kind = ""

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        file = tmp_path / f"{self.kind}.pkl"
        file.write_bytes(Golden(self.kind).pickle())
        return file

    def layers(self, generator: ImageGenerator) -> list[nn.Module]:
        synthesis = generator._network.synthesis  # type: ignore[attr-defined]
        return [getattr(synthesis, own.name) for own in synthesis.plan[:-1]]

    def test_a_bare_state_dict_of_the_same_frequencies_opens(self, path: Path, tmp_path: Path) -> None:
        golden = Golden(self.kind)
        torch.save({"g_ema": golden.weights}, tmp_path / "bare.pt")
        bare = open_generator(tmp_path / "bare.pt", "cpu")
        z = latents([1], golden.settings.z_dim)
        assert torch.equal(bare.generate(z).images, open_generator(path, "cpu").generate(z).images)


class TestStyleGAN3T(StyleGAN3Contract):
    kind = "t"


class TestStyleGAN3R(StyleGAN3Contract):
    kind = "r"
