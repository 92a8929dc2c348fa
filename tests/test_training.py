"""Training: losses fall, a killed run repeats the uninterrupted one, several processes train as one."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import training_world as small
from training_world import blobs, curve, new_run

from labelfactory.errors import InputError, WorkError
from labelfactory.factory.stylegan2_ada.checkpoint import load_checkpoint
from labelfactory.factory.stylegan2_ada.draws import draw_choices
from labelfactory.factory.stylegan2_ada.presets import Preset
from labelfactory.factory.stylegan2_ada.snapshots import read_snapshot, start
from labelfactory.factory.stylegan2_ada.training import StyleGAN2Trainer
from labelfactory.factory.training.dataset import ImageDataset
from labelfactory.factory.training.generator_order import SNAPSHOT
from labelfactory.factory.training.run import run
from labelfactory.factory.training.snapshots import save_snapshot

ROOT = Path(__file__).parent.parent
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return blobs(tmp_path_factory.mktemp("data") / "blobs")


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Tensors are tiny, and a sum over threads is a matter of their number."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def weights(trainer: StyleGAN2Trainer) -> torch.Tensor:
    networks = (trainer.generator, trainer.discriminator, trainer.ema)
    return torch.cat([value.detach().flatten() for network in networks for value in network.state_dict().values()])


def test_every_part_of_a_step_takes_part(data: Path) -> None:
    trainer = new_run(data)
    before = {name: value.clone() for name, value in trainer.generator.state_dict().items()}
    steps = curve(trainer, 5)
    assert set(steps[0]) == {"d", "g", "sign", "r1", "path"}
    assert "r1" not in steps[1]
    assert "path" in steps[4]
    assert (trainer.images_seen, trainer.step) == (40, 5)
    after = trainer.generator.state_dict()
    still = {name for name in before if torch.equal(before[name], after[name])}
    assert {name.rsplit(".", 1)[-1] for name in still} == {"noise_const", "resample_filter"}
    assert trainer.pl_mean > 0
    assert not torch.equal(trainer.ema.synthesis.b8.conv0.weight, trainer.generator.synthesis.b8.conv0.weight)


def test_the_discriminator_learns_to_tell_noise_from_images(data: Path) -> None:
    trainer = new_run(data, augment="none", r1_gamma=0.1, learning_rate=0.01)
    first = curve(trainer, 4)
    choices = draw_choices(trainer.recipe, 4, 32, trainer.data.labels, trainer.pipe, 0.0, 8, trainer.generator.num_ws)
    reals = trainer._reals(choices)
    losses = [float(trainer._train_discriminator(choices, reals)["d"]) for _ in range(20)]
    assert losses[-1] < 0.7 * first[0]["d"]


def test_a_resumed_run_repeats_the_uninterrupted_one(data: Path, tmp_path: Path) -> None:
    whole = new_run(data)
    curve(whole, 7)
    save_snapshot(whole, tmp_path / SNAPSHOT)
    expected = curve(whole, 50)
    again = new_run(data, resume=str(tmp_path / SNAPSHOT))
    assert again.recipe == whole.recipe
    assert curve(again, 50) == expected
    assert torch.equal(weights(again), weights(whole))
    assert (again.ada.p, again.images_seen) == (whole.ada.p, whole.images_seen)
    assert whole.ada.p > 0


def test_killed_at_any_moment_a_run_goes_on_from_its_last_snapshot(data: Path, tmp_path: Path) -> None:
    program = [sys.executable, str(ROOT / "tests" / "training_world.py"), str(data), str(tmp_path / "run")]
    process = subprocess.Popen([*program, "1000"], env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    snapshot = tmp_path / "run" / SNAPSHOT
    deadline = time.monotonic() + 120
    while not snapshot.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.2)  # into some later step or the middle of a save: snapshots are written all the time
    process.send_signal(signal.SIGKILL)
    process.communicate()
    state = read_snapshot(snapshot)
    assert state["images_seen"] >= 128

    steps = state["step"] + 50
    continued = new_run(data, resume=str(snapshot))
    curve(continued, 50)
    uninterrupted = new_run(data)
    curve(uninterrupted, steps)
    assert torch.equal(weights(continued), weights(uninterrupted))
    loaded = load_checkpoint(tmp_path / "run" / "generator.safetensors")
    assert loaded.metadata["images_seen"] >= 128


def test_two_processes_train_as_one(data: Path, tmp_path: Path) -> None:
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    program = [str(ROOT / "tests" / "training_world.py"), str(data), str(tmp_path / "two"), "0.256"]
    done = subprocess.run(
        [sys.executable, *launch, *program], env=ENVIRONMENT, capture_output=True, text=True, timeout=180
    )
    assert done.returncode == 0, done.stderr[-2000:]
    run(new_run(data), tmp_path / "one", kimg=0.256, progress=False)
    curves = [(tmp_path / name / "log.jsonl").read_text().splitlines() for name in ("one", "two")]
    assert len(curves[0]) == len(curves[1]) == 2
    for one, two in zip(*([json.loads(line) for line in lines] for lines in curves), strict=True):
        assert one["step"] == two["step"]
        # What differs is the noise inside the generator alone.
        for name in ("d", "g", "r1", "path", "p"):
            assert two[name] == pytest.approx(one[name], rel=0.05, abs=0.005), name
    one, two = (load_checkpoint(tmp_path / name / "generator.safetensors").generator for name in ("one", "two"))
    assert torch.allclose(one.synthesis.b8.conv1.weight, two.synthesis.b8.conv1.weight, atol=0.02)


def test_without_noise_an_image_is_a_function_of_its_latent(data: Path, tmp_path: Path) -> None:
    silent = new_run(data, noise=False)
    curve(silent, 4)
    z = torch.randn(2, 8)
    images = [silent.ema(z, noise_mode=mode) for mode in ("none", "const", "random")]
    assert torch.equal(images[0], images[1])
    assert torch.equal(images[0], images[2])
    noisy = new_run(data)
    curve(noisy, 4)
    assert any(bool(v) for name, v in noisy.ema.named_parameters() if name.endswith("noise_strength"))
    save_snapshot(noisy, tmp_path / SNAPSHOT)
    switched = new_run(data, resume=str(tmp_path / SNAPSHOT), noise=False)
    assert not any(bool(v) for name, v in switched.ema.named_parameters() if name.endswith("noise_strength"))


def test_compiled_steps_are_the_plain_steps(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = [sys.executable, str(ROOT / "tests" / "training_world.py"), "compiled", str(data)]
    done = subprocess.run(program, env=ENVIRONMENT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    plain, fast, graphs, breaks = json.loads(done.stdout)
    assert graphs >= 4  # either network with gradients of its own and without
    assert breaks == 0
    assert {"r1", "path"} <= set(plain[0])
    for one, two in zip(plain, fast, strict=True):
        assert two == pytest.approx(one, rel=1e-3, abs=1e-3)
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(InputError, match=r"needs g\+\+ or clang\+\+"):
        new_run(data).compile()


def test_micro_batches_add_up_to_the_batch(data: Path) -> None:
    whole, parts = new_run(data, style_mixing=0.0), new_run(data, micro=2, style_mixing=0.0)
    for one, two in zip(curve(whole, 5), curve(parts, 5), strict=True):
        for name in one:
            assert two[name] == pytest.approx(one[name], rel=0.02, abs=0.01), name


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_trains_alongside_float32(precision: str, data: Path) -> None:
    exact, half = new_run(data), new_run(data, precision=precision, half_resolutions=16)
    for one, two in zip(curve(exact, 6), curve(half, 6), strict=True):
        assert two["d"] == pytest.approx(one["d"], rel=0.1)
        assert two["g"] == pytest.approx(one["g"], rel=0.1)
    assert all(value.dtype == torch.float32 for value in half.generator.parameters())
    assert half.generator.config["conv_clamp"] == (256.0 if precision == "float16" else None)


def test_classes_are_trained_on_and_drawn_as_often_as_they_occur(data: Path, tmp_path: Path) -> None:
    labelled = tmp_path / "labelled"
    shutil.copytree(data, labelled)
    names = sorted(path.name for path in labelled.glob("*.png"))
    table = {"labels": [[name, 2 if i < 10 else 0] for i, name in enumerate(names)]}
    (labelled / "dataset.json").write_text(json.dumps(table))
    images = ImageDataset(labelled, conditional=True)
    trainer = start(images, Preset(1.0, small.NETWORK, small.RECIPE), small.ALONE)
    curve(trainer, 5)
    assert (trainer.generator.c_dim, trainer.discriminator.c_dim) == (3, 3)
    assert trainer.sheet(rows=1, columns=2).size == (16, 8)
    drawn = draw_choices(small.RECIPE.changed(batch=400), 0, 0, images.labels, trainer.pipe, 0.0, 8, 3).fakes_g.labels
    assert drawn[:, 2].mean() == pytest.approx(10 / 40, abs=0.07)
    assert drawn[:, 1].sum() == 0
    save_snapshot(trainer, tmp_path / SNAPSHOT)
    with pytest.raises(InputError, match="the generator has 3 classes, the data has 0"):
        new_run(data, resume=str(tmp_path / SNAPSHOT))


def test_losses_that_are_not_finite_stop_the_run_and_name_the_last_good_snapshot(data: Path, tmp_path: Path) -> None:
    run(new_run(data), tmp_path, kimg=0.032, progress=False)
    good = (tmp_path / SNAPSHOT).read_bytes()
    broken = new_run(data, resume=str(tmp_path / SNAPSHOT))
    with torch.no_grad():
        broken.generator.synthesis.b4.const[0] = float("nan")
    with pytest.raises(WorkError, match=r"not finite after .* last good snapshot: .*snapshot\.pt"):
        run(broken, tmp_path, kimg=1.0, progress=False)
    with pytest.raises(WorkError, match="weights are not finite"):
        save_snapshot(broken, tmp_path / SNAPSHOT)
    assert (tmp_path / SNAPSHOT).read_bytes() == good


def test_an_interrupt_ends_in_a_snapshot_and_a_line(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = new_run(data)
    step = trainer.train_step

    def interrupted() -> dict[str, torch.Tensor]:
        if trainer.step == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return step()

    monkeypatch.setattr(trainer, "train_step", interrupted)
    with pytest.raises(WorkError, match=r"interrupted after 32 images; the same command goes on from .*snapshot\.pt"):
        run(trainer, tmp_path, kimg=1.0, progress=False)
    assert read_snapshot(tmp_path / SNAPSHOT)["step"] == 4
    assert sorted(p.name for p in tmp_path.iterdir() if not p.name.startswith(("tensor", "."))) == [
        "curves.png",
        "generator.safetensors",
        "log.jsonl",
        "samples",
        "snapshot.pt",
    ]


def test_a_sheet_shows_the_same_latents_each_time(data: Path) -> None:
    trainer = new_run(data)
    sheets = [trainer.sheet(rows=2, columns=3) for _ in range(2)]
    assert sheets[0].size == (24, 16)
    assert sheets[0].tobytes() == sheets[1].tobytes()


def test_batches_that_cannot_be_split_are_refused(data: Path) -> None:
    with pytest.raises(InputError, match="batch 8 cannot be split into 1 processes x 3"):
        new_run(data, micro=3)
    assert small.RECIPE.batch == 8
