"""How a run begins: where a snapshot left off, with other wishes, or with weights from elsewhere."""

import json
import math
from pathlib import Path

import pytest
import torch
from official_format import Golden, official_pickle
from training_world import ALONE, NETWORK, RECIPE, blobs, curve, new_run

from labelfactory.errors import InputError
from labelfactory.factory.stylegan2_ada.checkpoint import save_safetensors
from labelfactory.factory.stylegan2_ada.ops import upsample2x
from labelfactory.factory.stylegan2_ada.presets import Preset
from labelfactory.factory.stylegan2_ada.snapshots import start
from labelfactory.factory.stylegan2_ada.training import first_layers
from labelfactory.factory.training.dataset import ImageDataset
from labelfactory.factory.training.draws import real_indices
from labelfactory.factory.training.generator_order import SNAPSHOT
from labelfactory.factory.training.snapshots import save_snapshot


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return blobs(tmp_path_factory.mktemp("data") / "blobs")


def test_a_run_goes_on_with_other_numbers_where_they_are_wished(data: Path, tmp_path: Path) -> None:
    first = new_run(data)
    curve(first, 5)
    save_snapshot(first, tmp_path / SNAPSHOT)
    wishes = {"learning_rate": 0.0005, "batch": 16, "ema_kimg": 0.4, "r1_gamma": 0.5, "augment_p": 0.25}
    run = new_run(data, resume=str(tmp_path / SNAPSHOT), **wishes)
    assert run.recipe == first.recipe.changed(**wishes)
    assert (run.images_seen, run.step, run.ada.p) == (40, 5, 0.25)
    rates = [group["lr"] for group in (*run.g_opt.param_groups, *run.d_opt.param_groups)]
    assert rates == pytest.approx([0.0005 * 4 / 5] * 2)  # the lazy steps' share is taken off
    moments = [run.g_opt.state[p]["exp_avg_sq"] for p in run.g_parameters]
    theirs = [first.g_opt.state[p]["exp_avg_sq"] for p in first.g_parameters]
    assert all(torch.equal(a, b) for a, b in zip(moments, theirs, strict=True))

    shown: list[list[int]] = []
    reals = run._reals
    run._reals = lambda choices: (shown.append(choices.reals), reals(choices))[1]  # type: ignore[method-assign]
    before = run.ema.synthesis.b8.conv1.weight.clone()
    curve(run, 1)
    assert shown == [real_indices(40, 40, 16, run.recipe.seed)]  # the epoch's order goes on, in larger batches
    assert run.images_seen == 56
    beta = 0.5 ** (16 / min(0.4 * 1000, 56 * 0.05))
    expected = before.lerp(run.generator.synthesis.b8.conv1.weight, 1 - beta)
    assert torch.allclose(run.ema.synthesis.b8.conv1.weight, expected, atol=1e-6)

    save_snapshot(run, tmp_path / SNAPSHOT)  # the wishes stay with the run
    again = new_run(data, resume=str(tmp_path / SNAPSHOT))
    assert again.recipe == run.recipe
    assert curve(again, 3) == curve(run, 3)


def test_layers_frozen_or_freed_on_the_way_keep_the_others_moments(data: Path, tmp_path: Path) -> None:
    free = new_run(data)
    curve(free, 2)
    save_snapshot(free, tmp_path / SNAPSHOT)
    moments = free.d_opt.state[free.discriminator.b4.out.weight]["exp_avg_sq"]
    frozen = new_run(data, resume=str(tmp_path / SNAPSHOT), freeze_d=3)
    assert len(frozen.d_parameters) == len(free.d_parameters) - 6  # weight and bias of three layers
    assert torch.equal(frozen.d_opt.state[frozen.discriminator.b4.out.weight]["exp_avg_sq"], moments)
    still = frozen.discriminator.b8.conv0.weight.clone()
    curve(frozen, 1)
    assert torch.equal(frozen.discriminator.b8.conv0.weight, still)
    save_snapshot(frozen, tmp_path / SNAPSHOT)
    freed = new_run(data, resume=str(tmp_path / SNAPSHOT), freeze_d=0)
    curve(freed, 1)
    assert not torch.equal(freed.discriminator.b8.conv0.weight, still)


class Official:
    """A golden file as an official pickle: G_ema and D are the golden ones, G other weights of the same kind."""

    def __init__(self, name: str, folder: Path) -> None:
        self.golden = Golden(name)
        rng = torch.Generator().manual_seed(1)
        parameters = {
            k: v.is_floating_point() and not k.endswith("resample_filter") for k, v in self.golden.generator.items()
        }
        self.trained = {
            k: v + 0.01 * torch.randn(v.shape, generator=rng) if parameters[k] else v
            for k, v in self.golden.generator.items()
        }
        self.file = folder / f"{name}.pkl"
        config, states = self.golden.config, (self.golden.generator, self.golden.discriminator)
        self.file.write_bytes(official_pickle(config, *states, trained=self.trained))


def with_classes(folder: Path, classes: int) -> Path:
    """Every image of the folder gets a label."""
    names = sorted(path.name for path in folder.glob("*.png"))
    table = {"labels": [[name, i % classes] for i, name in enumerate(names)]}
    (folder / "dataset.json").write_text(json.dumps(table))
    return folder


@pytest.mark.parametrize(("name", "size"), [("unconditional", 32), ("conditional", 16)])
def test_training_goes_on_from_an_official_pickle(name: str, size: int, tmp_path: Path) -> None:
    official = Official(name, tmp_path)
    golden, values = official.golden, official.golden.values
    folder = with_classes(blobs(tmp_path / "data", size=size), 4)
    images = ImageDataset(folder, conditional=name == "conditional")
    groups = {"batch": 6, "mbstd_group": 3}
    run = start(images, Preset(1.0, NETWORK, RECIPE), ALONE, str(official.file), {"freeze_d": 2, **groups})

    psi, cutoff = float(values["truncation_psi"]), int(values["truncation_cutoff"])
    sampled = run.ema(values["z"], values.get("c"), psi, None if cutoff < 0 else cutoff, noise_mode="const")
    assert torch.allclose(sampled, values["image_const_noise"], atol=1e-4)  # the official program's own numbers
    assert all(torch.equal(value, official.trained[key]) for key, value in run.generator.state_dict().items())
    assert all(torch.equal(value, golden.discriminator[key]) for key, value in run.discriminator.state_dict().items())
    logits = run.discriminator(values["image_const_noise"], values.get("c"))
    assert torch.allclose(logits, values["discriminator_logits"], atol=1e-4)

    losses = curve(run, 3)
    assert all(math.isfinite(value) for step in losses for value in step.values())
    first = f"b{size}"
    still = {
        key for key, value in run.discriminator.state_dict().items() if torch.equal(value, golden.discriminator[key])
    }
    frozen = {f"{first}.fromrgb.weight", f"{first}.fromrgb.bias", f"{first}.conv0.weight", f"{first}.conv0.bias"}
    assert {key for key in still if not key.endswith("resample_filter")} == frozen
    moved = run.generator.synthesis.b4.conv1.weight
    assert not torch.equal(moved, official.trained["synthesis.b4.conv1.weight"])
    save_snapshot(run, tmp_path / SNAPSHOT)  # and it is a run of ours from here on
    again = start(images, Preset(1.0, NETWORK, RECIPE), ALONE, str(tmp_path / SNAPSHOT))
    assert curve(again, 1) == curve(run, 1)


def test_an_official_pickle_that_does_not_fit_the_data_is_refused_with_both_sides(tmp_path: Path) -> None:
    plain, classes = Official("unconditional", tmp_path).file, Official("conditional", tmp_path).file
    fitting = with_classes(blobs(tmp_path / "32", size=32), 3)

    def begin(folder: Path, file: Path, conditional: bool = False, **wishes: int) -> None:
        images = ImageDataset(folder, conditional=conditional)
        start(images, Preset(1.0, NETWORK, RECIPE), ALONE, str(file), wishes)

    with pytest.raises(
        InputError, match=r"generator works on images of shape \[3, 32, 32\], the data's are \[3, 8, 8\]"
    ):
        begin(blobs(tmp_path / "8"), plain)
    with pytest.raises(InputError, match=r"of shape \[3, 32, 32\], the data's are \[1, 32, 32\]"):
        begin(blobs(tmp_path / "grey", size=32, channels=1), plain)
    with pytest.raises(InputError, match="the generator has 0 classes, the data has 3"):
        begin(fitting, plain, conditional=True)
    with pytest.raises(InputError, match="the generator has 4 classes, the data has 0"):
        begin(blobs(tmp_path / "16", size=16), classes)
    alone = Official("unconditional", tmp_path)
    alone.file.write_bytes(official_pickle(alone.golden.config, alone.golden.generator))
    with pytest.raises(InputError, match=r"unconditional\.pkl: has no discriminator whose first 2 layers"):
        begin(fitting, alone.file, freeze_d=2)
    begin(fitting, alone.file)


def test_float16_wished_for_on_the_way_is_clamped(data: Path, tmp_path: Path) -> None:
    save_snapshot(new_run(data), tmp_path / SNAPSHOT)
    run = new_run(data, resume=str(tmp_path / SNAPSHOT), precision="float16")
    assert run.generator.config["conv_clamp"] == run.discriminator.config["conv_clamp"] == 256
    assert run.generator.synthesis.b8.conv1.conv_clamp == 256
    curve(run, 1)


def test_weights_are_taken_over_from_a_checkpoint(data: Path, tmp_path: Path) -> None:
    source = new_run(data, seed=5)
    curve(source, 3)
    file = tmp_path / "source.safetensors"
    save_safetensors(file, source.ema, source.discriminator)
    run = new_run(data, resume=str(file), freeze_d=4)
    assert run.images_seen == 0
    assert torch.equal(run.ema.synthesis.b8.conv1.weight, source.ema.synthesis.b8.conv1.weight)
    assert (run.recipe.ada_kimg, run.recipe.ema_rampup) == (100, None)
    frozen = [p.clone() for layer in first_layers(run.discriminator, 4) for p in layer.parameters()]
    curve(run, 2)
    after = [p for layer in first_layers(run.discriminator, 4) for p in layer.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(frozen, after, strict=True))
    assert not torch.equal(run.discriminator.b4.out.weight, source.discriminator.b4.out.weight)

    save_safetensors(file, source.ema)  # a file without discriminator starts a new one
    curve(new_run(data, resume=str(file)), 1)


def test_a_lower_resolution_is_grown(data: Path, tmp_path: Path) -> None:
    source = new_run(data, seed=5)
    curve(source, 3)
    file = tmp_path / "source.safetensors"
    save_safetensors(file, source.ema, source.discriminator)
    larger = blobs(tmp_path / "larger", size=32)
    run = new_run(larger, resume=str(file))
    z = torch.randn(2, source.ema.z_dim, generator=torch.Generator().manual_seed(0))
    small, large = (network(z, noise_mode="const") for network in (source.ema, run.ema))
    assert large.shape == (2, 3, 32, 32)
    for _ in range(2):
        small = upsample2x(small, source.ema.synthesis.b8.resample_filter)
    torch.testing.assert_close(large, small)
    assert torch.equal(run.discriminator.b4.out.weight, source.discriminator.b4.out.weight)
    curve(run, 2)
    assert run.generator.synthesis.b32.torgb.weight.abs().max() > 0
    with pytest.raises(InputError, match="freeze_d must be 0"):
        new_run(larger, resume=str(file), freeze_d=2)


def test_a_checkpoint_of_another_shape_is_refused_with_both_shapes(data: Path, tmp_path: Path) -> None:
    source = new_run(data)
    save_safetensors(tmp_path / "x.safetensors", source.ema, source.discriminator)
    other = blobs(tmp_path / "grey", size=32, channels=1)
    with pytest.raises(InputError, match=r"images of shape \[3, 8, 8\], the data's are \[1, 32, 32\]"):
        new_run(other, resume=str(tmp_path / "x.safetensors"))
    (tmp_path / "bad.pt").write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(InputError, match="is not a readable"):
        new_run(data, resume=str(tmp_path / "bad.pt"))
    with pytest.raises(InputError, match="no such file"):
        new_run(data, resume=str(tmp_path / "missing.pt"))


def test_the_compact_loops_snapshots_go_on(data: Path, tmp_path: Path) -> None:
    trainer = new_run(data)
    curve(trainer, 2)
    state = trainer.state_dict()
    names = ("generator", "discriminator", "ema", "g_opt", "d_opt", "images_seen", "step", "network")
    old = {name: state[name] for name in names}
    old["config"] = {"batch": 8, "learning_rate": 0.001, "r1_gamma": 0.3, "r1_interval": 16, "half_dtype": "bfloat16"}
    old |= {"order": torch.arange(3), "cursor": 1, "rng": torch.get_rng_state()}
    torch.save(old, tmp_path / "old.pt")
    run = new_run(data, resume=str(tmp_path / "old.pt"))
    assert (run.images_seen, run.step, run.recipe.r1_gamma, run.recipe.amplify) == (16, 2, 0.3, "dihedral")
    assert run.g_opt.param_groups[0]["lr"] == 0.001
    assert torch.equal(run.ema.synthesis.b4.const, trainer.ema.synthesis.b4.const)
    curve(run, 1)
