"""The networks agree with numbers that the official arithmetic gave on random weights."""

import ast

import numpy as np
import pytest
import torch
from conftest import DATA
from torch import Tensor

from labelfactory.factory.stylegan2_ada.networks import (
    Discriminator,
    Generator,
    block_resolutions,
    minibatch_std,
    set_precision,
)

TOLERANCE = 1e-4  # of the tensor's largest absolute value


class Golden:
    def __init__(self, name: str) -> None:
        self.arrays = dict(np.load(DATA / f"golden_{name}.npz"))
        self.config = ast.literal_eval(str(self.arrays["config"]))
        group = self.config.pop("mbstd_group_size")
        if self.config["conv_clamp"] is not None:
            self.config["conv_clamp"] = float(self.config["conv_clamp"])
        self.generator = Generator(**self.config).eval().requires_grad_(False)
        self.generator.load_state_dict(self.state("state/"))
        shared = ("c_dim", "img_resolution", "img_channels", "channel_base", "channel_max", "conv_clamp")
        kwargs = {k: self.config[k] for k in shared}
        self.discriminator = Discriminator(**kwargs, mbstd_group_size=group).eval().requires_grad_(False)
        self.discriminator.load_state_dict(self.state("discriminator/"))

    def state(self, prefix: str) -> dict[str, Tensor]:
        return {k.removeprefix(prefix): self[k] for k in self.arrays if k.startswith(prefix)}

    def __getitem__(self, key: str) -> Tensor:
        return torch.from_numpy(self.arrays[key])

    @property
    def c(self) -> Tensor | None:
        return self["c"] if "c" in self.arrays else None

    def ws(self) -> Tensor:
        cutoff = int(self.arrays["truncation_cutoff"])
        psi = float(self.arrays["truncation_psi"])
        return self.generator.mapping(self["z"], self.c, psi, None if cutoff < 0 else cutoff)


@pytest.fixture(scope="module", params=["unconditional", "conditional"])
def golden(request: pytest.FixtureRequest) -> Golden:
    return Golden(request.param)


def assert_agrees(ours: Tensor, theirs: Tensor, tolerance: float = TOLERANCE) -> None:
    assert ours.shape == theirs.shape
    assert (ours.float() - theirs).abs().max() < tolerance * theirs.abs().max()


def test_mapping_agrees(golden: Golden) -> None:
    assert_agrees(golden.ws(), golden["ws"])


def test_images_and_every_activation_agree(golden: Golden) -> None:
    features: list[Tensor] = []
    image = golden.generator.synthesis(golden["ws"], "const", features)
    assert_agrees(image, golden["image_const_noise"])
    names = [name for name in golden.arrays if name.startswith("activation/")]
    assert len(features) == len(names) == 2 * int(np.log2(golden.config["img_resolution"])) - 3
    for name, feature in zip(names, features, strict=True):
        assert_agrees(feature, golden[name])
    assert [f.shape[1] for f in features] == golden.generator.synthesis.feature_channels
    assert_agrees(golden.generator.synthesis(golden["ws"], "none"), golden["image_no_noise"])


def test_one_sample_takes_another_path_to_the_same_image(golden: Golden) -> None:
    image = torch.cat([golden.generator.synthesis(ws[None], "const") for ws in golden["ws"]])
    assert_agrees(image, golden["image_const_noise"])


def test_discriminator_agrees(golden: Golden) -> None:
    assert_agrees(golden.discriminator(golden["image_const_noise"], golden.c), golden["discriminator_logits"])


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 0.1), (torch.float16, 0.01)])
def test_half_precision_is_near(golden: Golden, dtype: torch.dtype, tolerance: float) -> None:
    set_precision(golden.generator, dtype)
    image = golden.generator.synthesis(golden["ws"], "const")
    set_precision(golden.generator, torch.float32)
    assert image.dtype == torch.float32
    assert_agrees(image, golden["image_const_noise"], tolerance)
    assert_agrees(golden.generator.synthesis(golden["ws"], "const"), golden["image_const_noise"])


def test_random_noise_differs_and_constant_noise_does_not() -> None:
    golden = Golden("unconditional")
    ws = golden["ws"]
    synthesis = golden.generator.synthesis
    assert torch.equal(synthesis(ws, "const"), synthesis(ws, "const"))
    assert not torch.allclose(synthesis(ws, "random"), synthesis(ws, "random"))


def test_truncation_pulls_towards_the_mean() -> None:
    golden = Golden("unconditional")
    mapping = golden.generator.mapping
    full, half = mapping(golden["z"]), mapping(golden["z"], truncation_psi=0.5)
    assert torch.allclose(half - mapping.w_avg, (full - mapping.w_avg) / 2, atol=1e-6)
    assert torch.allclose(mapping(golden["z"], truncation_psi=0.0), mapping.w_avg.expand_as(full), atol=1e-6)
    cut = mapping(golden["z"], truncation_psi=0.5, truncation_cutoff=2)
    assert torch.equal(cut[:, 2:], full[:, 2:])
    assert torch.allclose(cut[:, :2], half[:, :2])


def test_gradients_exist_twice_as_r1_needs() -> None:
    golden = Golden("unconditional")
    golden.discriminator.requires_grad_(True)
    image = golden["image_const_noise"].requires_grad_(True)
    (gradient,) = torch.autograd.grad(golden.discriminator(image).sum(), image, create_graph=True)
    gradient.square().sum().backward()
    missing = [n for n, p in golden.discriminator.named_parameters() if p.grad is None and not n.endswith("bias")]
    assert not missing


def test_w_avg_follows_w_in_training_only() -> None:
    golden = Golden("unconditional")
    mapping = golden.generator.mapping
    before = mapping.w_avg.clone()
    mapping(golden["z"])
    assert torch.equal(mapping.w_avg, before)
    w = mapping.train()(golden["z"])[:, 0]
    assert torch.allclose(mapping.w_avg, w.mean(0).lerp(before, 0.995), atol=1e-6)


def test_minibatch_std_groups_samples_n_over_g_apart() -> None:
    x = torch.zeros(4, 1, 2, 2)
    x[2:] = 2.0  # groups {0, 2} and {1, 3}: standard deviation 1 in both
    assert torch.allclose(minibatch_std(x, 2)[:, 1], torch.ones(4, 2, 2))
    with pytest.raises(ValueError, match="multiple of the minibatch-std group"):
        minibatch_std(x[:3], 2)


@pytest.mark.parametrize("resolution", [0, 3, 48])
def test_resolution_is_a_power_of_two(resolution: int) -> None:
    with pytest.raises(ValueError, match="power of two"):
        block_resolutions(resolution)


def test_what_a_network_needs_is_said() -> None:
    golden = Golden("conditional")
    with pytest.raises(ValueError, match="conditional: give c"):
        golden.generator(golden["z"])
    with pytest.raises(ValueError, match="noise_mode"):
        golden.generator.synthesis(golden["ws"], "loud")
    with pytest.raises(ValueError, match="expected \\[batch"):
        golden.generator.synthesis(golden["ws"][:, 1:])
