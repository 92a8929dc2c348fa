"""Figures of quality: known values, what they notice, and encoders of the user's choice."""

import json
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor
from training_world import blobs

from labelfactory.errors import InputError
from labelfactory.factory.stylegan2_ada.checkpoint import Checkpoint
from labelfactory.factory.stylegan2_ada.config import NetworkConfig
from labelfactory.factory.stylegan2_ada.family import StyleGAN2
from labelfactory.factory.stylegan2_ada.networks import Generator
from labelfactory.factory.training.dataset import ImageDataset
from labelfactory.factory.training.feature_encoder import DomainEncoder, load_encoder, save_encoder, train_encoder
from labelfactory.factory.training.feature_metrics import (
    diversity,
    frechet_distance,
    kernel_distance,
    nyquist_power,
    precision_recall,
)
from labelfactory.factory.training.quality import COLUMNS, Quality, Yardstick, all_images, generate_images, table_row


def normal(n: int, d: int = 4, seed: int = 0) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def test_frechet_distance_of_gaussians_is_the_closed_form() -> None:
    x = normal(4000)
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-6)
    assert frechet_distance(x, x + 3) == pytest.approx(4 * 9, rel=1e-4)  # |m_a - m_b|²
    assert frechet_distance(x, 2 * x) == pytest.approx(
        float(x.var(dim=0).sum()) + float(x.mean(0).square().sum()), rel=1e-3
    )
    assert frechet_distance(x, normal(4000, seed=1)) < 0.02


def test_kernel_distance_is_near_zero_for_one_distribution_only() -> None:
    x, same, other = normal(600), normal(600, seed=1), normal(600, seed=2) + 0.5
    assert abs(kernel_distance(x, same, subsets=20, size=300)) < 0.02
    assert kernel_distance(x, other, subsets=20, size=300) > 0.1


def test_precision_falls_with_strange_images_and_recall_with_missing_ones() -> None:
    real = torch.cat([normal(300), normal(300, seed=1) + 20])
    assert precision_recall(real, torch.cat([normal(300, seed=2), normal(300, seed=3) + 20])) > (0.9, 0.9)
    precision, recall = precision_recall(real, normal(600, seed=4))  # one of two modes
    assert precision > 0.9
    assert 0.4 < recall < 0.6
    precision, _ = precision_recall(real, torch.cat([normal(300, seed=5), normal(300) - 20]))
    assert 0.4 < precision < 0.6


def test_diversity_notices_collapse() -> None:
    whole, collapsed = normal(400), normal(20).repeat(20, 1)
    assert diversity(whole).pairwise == pytest.approx(1.88 * math.sqrt(2), rel=0.05)  # chi, 4 degrees
    assert diversity(collapsed).neighbour == pytest.approx(0, abs=1e-3)
    assert diversity(whole).neighbour > 0.1


def test_checkerboards_show_in_the_highest_frequencies() -> None:
    smooth = torch.rand(4, 1, 4, 4).repeat_interleave(8, 2).repeat_interleave(8, 3)
    board = torch.ones(32, 32)
    board[::2, ::2] = board[1::2, 1::2] = -1
    assert nyquist_power(smooth + 0.1 * board) > 5 * nyquist_power(smooth)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Tensor:
    folder = blobs(tmp_path_factory.mktemp("blobs"), count=160, size=16, channels=1)
    return all_images(ImageDataset(folder))


def test_the_domain_encoder_learns_and_its_figures_notice_what_is_wrong(images: Tensor, tmp_path: Path) -> None:
    encoder = train_encoder(images, steps=6, batch=16)
    train, reference = images[:110], images[110:]
    yardstick = Yardstick(train, reference, encoder.encode)
    good = yardstick.measure(images[60:110])
    noisy = (reference.float() + 60 * torch.randn(reference.shape)).clamp(0, 255).to(torch.uint8)
    bad = yardstick.measure(noisy)
    assert bad.ratio > 2 * good.ratio
    assert bad.generated.precision < good.generated.precision
    assert bad.generated.nyquist > 3
    collapsed = yardstick.measure(images[:1].repeat(50, 1, 1, 1))
    assert collapsed.generated.diversity.pairwise < 0.01 * collapsed.reference_diversity.pairwise
    row = dict(zip(COLUMNS, table_row("noisy", bad.generated, bad.real)[28:].split(), strict=True))
    assert float(row["x real"]) == pytest.approx(bad.ratio, abs=1e-3)
    assert float(row["Nyquist"]) == pytest.approx(bad.generated.nyquist, abs=1e-3)
    assert bad.to_dict()["fid_ratio"] == bad.ratio
    assert Quality.from_dict(json.loads(json.dumps(bad.to_dict()))) == bad

    save_encoder(encoder, tmp_path / "encoder.safetensors")
    again = load_encoder(tmp_path / "encoder.safetensors", channels=1)
    assert torch.equal(again(images[:4]), encoder.encode(images[:4]))
    with pytest.raises(InputError, match="no domain encoder for images of 3 channels"):
        load_encoder(tmp_path / "encoder.safetensors", channels=3)
    with pytest.raises(InputError, match="16 generated"):
        yardstick.measure(images[:4])
    with pytest.raises(InputError, match="32 training and 16 reference"):
        Yardstick(train, reference[:4], encoder.encode)


def test_generated_images_are_the_same_for_the_same_seed() -> None:
    torch.manual_seed(0)
    generator = Generator(4, 0, 4, 8, 1, 1, 16, 4).eval()
    generator.mapping.w_avg.normal_()
    made = StyleGAN2(Checkpoint(generator, None, "0" * 64, NetworkConfig(**generator.config)), torch.device("cpu"))
    none = torch.zeros(1, 0)
    one, two = (generate_images(made, 7, none, psi=0.7, seed=3, batch=3) for _ in range(2))
    assert one.shape == (7, 1, 8, 8)
    assert torch.equal(one, two)
    assert not torch.equal(one, generate_images(made, 7, none, psi=0.7, seed=4, batch=3))


def test_a_file_that_is_no_encoder_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.pt").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"x\.pt: is no TorchScript module"):
        load_encoder(tmp_path / "x.pt", 1)
    (tmp_path / "x.safetensors").write_bytes(b"nothing")
    with pytest.raises(InputError, match="is no domain encoder"):
        load_encoder(tmp_path / "x.safetensors", 1)
    with pytest.raises(InputError, match="no such file"):
        load_encoder(tmp_path / "y.pt", 1)
    assert DomainEncoder(1, width=8).eval()(torch.zeros(2, 1, 64, 64)).shape == (2, 56)


class Means(torch.nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.float().mean(dim=[2, 3])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_any_torchscript_module_can_be_the_encoder(tmp_path: Path, images: Tensor) -> None:
    torch.jit.script(Means()).save(str(tmp_path / "means.pt"))
    features = load_encoder(tmp_path / "means.pt", channels=1)(images[:5])
    assert features.shape == (5, 3)
    assert torch.allclose(features[:, 0], images[:5].float().mean(dim=(1, 2, 3)))
