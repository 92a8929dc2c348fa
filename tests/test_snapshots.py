"""How a run begins: where a snapshot left off, with other wishes, or with weights from elsewhere."""

from pathlib import Path

import pytest
import torch
from training_world import blobs, curve, new_run

from factory.errors import InputError
from factory.stylegan2_ada.checkpoint import save_safetensors
from factory.stylegan2_ada.choices import real_indices
from factory.stylegan2_ada.snapshots import NAME, save_snapshot
from factory.stylegan2_ada.training import first_layers


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return blobs(tmp_path_factory.mktemp("data") / "blobs")


def test_a_run_goes_on_with_other_numbers_where_they_are_wished(data: Path, tmp_path: Path) -> None:
    first = new_run(data)
    curve(first, 5)
    save_snapshot(first, tmp_path / NAME)
    wishes = {"learning_rate": 0.0005, "batch": 16, "ema_kimg": 0.4, "r1_gamma": 0.5, "augment_p": 0.25}
    run = new_run(data, resume=str(tmp_path / NAME), **wishes)
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

    save_snapshot(run, tmp_path / NAME)  # the wishes stay with the run
    again = new_run(data, resume=str(tmp_path / NAME))
    assert again.recipe == run.recipe
    assert curve(again, 3) == curve(run, 3)


def test_layers_frozen_or_freed_on_the_way_keep_the_others_moments(data: Path, tmp_path: Path) -> None:
    free = new_run(data)
    curve(free, 2)
    save_snapshot(free, tmp_path / NAME)
    moments = free.d_opt.state[free.discriminator.b4.out.weight]["exp_avg_sq"]
    frozen = new_run(data, resume=str(tmp_path / NAME), freeze_d=3)
    assert len(frozen.d_parameters) == len(free.d_parameters) - 6  # weight and bias of three layers
    assert torch.equal(frozen.d_opt.state[frozen.discriminator.b4.out.weight]["exp_avg_sq"], moments)
    still = frozen.discriminator.b8.conv0.weight.clone()
    curve(frozen, 1)
    assert torch.equal(frozen.discriminator.b8.conv0.weight, still)
    save_snapshot(frozen, tmp_path / NAME)
    freed = new_run(data, resume=str(tmp_path / NAME), freeze_d=0)
    curve(freed, 1)
    assert not torch.equal(freed.discriminator.b8.conv0.weight, still)


def test_float16_wished_for_on_the_way_is_clamped(data: Path, tmp_path: Path) -> None:
    save_snapshot(new_run(data), tmp_path / NAME)
    run = new_run(data, resume=str(tmp_path / NAME), precision="float16")
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
