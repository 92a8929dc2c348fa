"""``factory train-generator --family diffusion``: what a run leaves, how it goes on, what it refuses."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command_line import Factory
from training_world import ALONE, blobs, new_run

from labelfactory.errors import InputError
from labelfactory.factory.families import open_generator
from labelfactory.factory.latents import latents
from labelfactory.factory.training.dataset import ImageDataset
from labelfactory.factory.training.feature_encoder import DomainEncoder, save_encoder
from labelfactory.factory.training.generator_order import SNAPSHOT, GeneratorOrder
from labelfactory.factory.training.parallel import World
from labelfactory.factory.training.run import run
from labelfactory.factory.training.snapshots import save_snapshot

diffusers = pytest.importorskip("diffusers")

from labelfactory.factory.diffusion.presets import PRESETS, Recipe, preset  # noqa: E402
from labelfactory.factory.diffusion.snapshots import start  # noqa: E402
from labelfactory.factory.diffusion.training import DiffusionTrainer  # noqa: E402

ROOT = Path(__file__).parents[1]
ENVIRONMENT = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}", "OMP_NUM_THREADS": "1"}
RECIPE = Recipe(batch=8, learning_rate=3e-3, warmup_kimg=0.05, ema_kimg=0.1)
NETWORK: dict[str, Any] = {
    "sample_size": 8, "layers_per_block": 1, "norm_num_groups": 4, "attention_head_dim": 8,
    "block_out_channels": (8, 16), "down_block_types": ("DownBlock2D",) * 2, "up_block_types": ("UpBlock2D",) * 2,
}  # fmt: skip
TINY = ["train-generator", "--family", "diffusion", "--preset", "tiny", "--device", "cpu"]


STEPS = 4  # of DDIM, for generators and sheets of these tests


@pytest.fixture(autouse=True)
def _few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labelfactory.factory.diffusion.family.STEPS", STEPS)
    monkeypatch.setattr("labelfactory.factory.diffusion.training.SHEET_STEPS", STEPS)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return blobs(tmp_path_factory.mktemp("data") / "blobs", count=70, channels=1)


def trainer(data: Path, source: str | None = None, world: World = ALONE, micro: int = 1, **wishes: Any) -> Any:
    return start(ImageDataset(data), NETWORK, RECIPE, world, source, wishes, micro)


def losses(of: DiffusionTrainer, steps: int) -> list[float]:
    return [float(of.train_step()["loss"]) for _ in range(steps)]


def weights(of: DiffusionTrainer) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for network in of.networks() for p in network.parameters()])


def test_a_run_leaves_a_folder_that_we_and_diffusers_open_and_goes_on(
    data: Path, tmp_path: Path, factory: Factory
) -> None:
    out = tmp_path / "run"
    done = factory(*TINY, "--data", data, "--out", out, "--kimg", 0.016, "--amplify", "dihedral")
    assert done.code == 0, done.err
    assert "70 images, 8 px, 1 channels, 0 classes" in done.out
    ours = open_generator(out / "generator", "cpu")
    assert (ours.size, ours.image_channels, ours.metadata["images_seen"]) == ((8, 8), 1, 16)
    pipeline = diffusers.DiffusionPipeline.from_pretrained(str(out / "generator"))
    assert type(pipeline).__name__ == "DDPMPipeline"
    pipeline.set_progress_bar_config(disable=True)
    again = diffusers.DDIMPipeline.from_pretrained(str(out / "generator"))
    again.set_progress_bar_config(disable=True)
    made = again(batch_size=2, num_inference_steps=2, output_type="np").images
    assert made.shape == (2, 8, 8, 1)

    done = factory(*TINY, "--data", data, "--out", out, "--kimg", 0.032, "--keep-kimg", 0.016)
    assert "goes on from" in done.out
    assert "amplified dihedral" in done.out, "the snapshot's numbers hold"
    assert open_generator(out / "generator", "cpu").metadata["images_seen"] == 32
    assert [json.loads(line)["kimg"] for line in (out / "log.jsonl").read_text().splitlines()] == [0.016, 0.032]
    assert not [path for path in out.iterdir() if path.name.startswith(".generator")], "nothing half-written is left"

    (out / "generator-000000").rename(out / "generator-0016")  # kimg of a toy run
    save_encoder(DomainEncoder(1), tmp_path / "encoder.safetensors")
    measured = factory(
        "evaluate-generator", "--run", out, "--data", data, "--count", 16, "--encoder", tmp_path / "encoder.safetensors"
    )
    assert measured.code == 0, measured.err
    assert "0.032 kimg, psi 1" in measured.out


def test_the_folder_makes_what_the_trained_average_makes(data: Path, tmp_path: Path) -> None:
    """DDIM of diffusers' own pipeline, from the same noise, gives our pictures."""
    trained = trainer(data)
    losses(trained, 3)
    trained.save_generator(tmp_path / "g", {})
    opened, z = open_generator(tmp_path / "g", "cpu"), torch.from_numpy(latents([1, 2], (1, 8, 8)))
    pipeline = diffusers.DDIMPipeline.from_pretrained(str(tmp_path / "g"))
    scheduler, x = pipeline.scheduler, z
    scheduler.set_timesteps(STEPS)
    with torch.no_grad():
        for t in scheduler.timesteps:
            x = scheduler.step(trained.ema(x, t).sample, t, x, eta=0.0).prev_sample
    made, _ = opened.render(z, 1.0, None)
    assert torch.allclose(made, x, atol=1e-4)


def test_it_learns_to_tell_noise_from_images(data: Path) -> None:
    learning = trainer(data)
    first = sum(losses(learning, 5))
    losses(learning, 50)
    assert sum(losses(learning, 5)) < 0.75 * first


def test_a_sheet_shows_what_was_learnt_from_the_same_noise_each_time(data: Path) -> None:
    learning = trainer(data, prediction="v", learning_rate=1e-2)
    losses(learning, 60)
    sheets = [np.array(learning.sheet(rows=1, columns=8)) for _ in range(2)]
    assert np.array_equal(*sheets)
    assert sheets[0].shape == (8, 64)
    real = learning.data.batch(range(70)).float()
    assert abs(sheets[0].mean() - real.mean()) < 40, "discs on dark ground"
    assert sheets[0].std() > 0.5 * real.std()


def test_a_resumed_run_repeats_the_uninterrupted_one(data: Path, tmp_path: Path) -> None:
    whole = trainer(data, amplify="dihedral")
    losses(whole, 7)
    save_snapshot(whole, tmp_path / SNAPSHOT)
    expected = losses(whole, 8)
    again = trainer(data, str(tmp_path / SNAPSHOT))
    assert again.recipe == whole.recipe
    assert losses(again, 8) == expected
    assert torch.equal(weights(again), weights(whole))
    slower = trainer(data, str(tmp_path / SNAPSHOT), learning_rate=1e-4)
    losses(slower, 1)
    assert slower.optimiser.param_groups[0]["lr"] == 1e-4


def test_micro_batches_add_up_to_the_batch(data: Path) -> None:
    one, parts = trainer(data), trainer(data, micro=4)
    assert losses(parts, 4) == pytest.approx(losses(one, 4), rel=1e-3)


@pytest.mark.long
def test_two_processes_train_as_one(data: Path, tmp_path: Path) -> None:
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", __file__, str(data), str(tmp_path)]
    done = subprocess.run([sys.executable, *launch], env=ENVIRONMENT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    run(trainer(data), tmp_path / "one", kimg=0.128, progress=False)
    logs = [(tmp_path / name / "log.jsonl").read_text().splitlines() for name in ("one", "two")]
    curves = [[json.loads(line)["loss"] for line in lines] for lines in logs]
    assert curves[0] == pytest.approx(curves[1], rel=1e-3)
    assert len(curves[0]) == 1


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_trains_alongside_float32(precision: str, data: Path) -> None:
    exact, half = losses(trainer(data), 8), losses(trainer(data, precision=precision), 8)
    assert half == pytest.approx(exact, rel=0.1)
    assert half != exact


def test_classes_are_trained_on(data: Path, tmp_path: Path) -> None:
    folder = blobs(tmp_path / "labelled", count=40, channels=1)
    names = sorted(path.name for path in folder.glob("*.png"))
    (folder / "dataset.json").write_text(json.dumps({"labels": [[n, i % 3] for i, n in enumerate(names)]}))
    run(start(ImageDataset(folder, conditional=True), NETWORK, RECIPE, ALONE), tmp_path / "run", 0.016, progress=False)
    opened = open_generator(tmp_path / "run" / "generator", "cpu")
    assert opened.num_classes == 3
    images = [opened.generate(latents([1], (1, 8, 8)), class_index=c).images for c in (0, 1)]
    assert not torch.equal(*images)
    with pytest.raises(InputError, match="the network has 3 classes, the data has 0"):
        trainer(data, str(tmp_path / "run" / "generator"))
    (folder / "dataset.json").write_text(json.dumps({"labels": [[n, [0.5, 0.5]] for n in names]}))
    with pytest.raises(InputError, match="labels are vectors; a diffusion model takes class numbers"):
        start(ImageDataset(folder, conditional=True), NETWORK, RECIPE, ALONE)


def test_a_run_begins_with_the_weights_of_a_folder_and_keeps_its_noise(data: Path, tmp_path: Path) -> None:
    first = trainer(data, schedule="linear", prediction="v")
    first.save_generator(tmp_path / "g", {})
    second = trainer(data, str(tmp_path / "g"))
    assert torch.equal(weights(first), weights(second))
    assert (second.schedule.config.beta_schedule, second.schedule.config.prediction_type) == ("linear", "v_prediction")
    losses(second, 1)
    with pytest.raises(InputError, match="was trained with schedule linear, which stays; leave --schedule out"):
        trainer(data, str(tmp_path / "g"), schedule="cosine")


def test_a_stop_in_the_middle_of_saving_leaves_a_folder_that_opens(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = trainer(data)
    trained.save_generator(tmp_path / "g", {"images_seen": 1})
    losses(trained, 1)

    def full(*_: Any, **__: Any) -> Any:
        raise OSError("no space left")

    monkeypatch.setattr("labelfactory.factory.diffusion.folder.whole_file", full)
    with pytest.raises(OSError, match="no space"):
        trained.save_generator(tmp_path / "g", {"images_seen": 2})
    assert open_generator(tmp_path / "g", "cpu").metadata["images_seen"] == 1
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".g")] == []


def test_what_does_not_fit_is_refused_in_one_line(data: Path, tmp_path: Path, factory: Factory) -> None:
    save_snapshot(new_run(data), tmp_path / "gan.pt")
    save_snapshot(trainer(data), tmp_path / "ddpm.pt")
    (tmp_path / "mine" / "generator").mkdir(parents=True)
    call = ["train-generator", "--data", data, "--kimg", 0.008, "--device", "cpu", "--out"]
    diffusion = [*call, tmp_path / "x", "--family", "diffusion", "--preset", "tiny"]
    for words, line in [
        ([*diffusion, "--gamma", 2], "r1_gamma is a number of family stylegan2; diffusion has none, leave it out"),
        ([*call, tmp_path / "x", "--schedule", "linear"], "schedule is a number of family diffusion; stylegan2 has"),
        ([*diffusion[:-1], "paper256"], "preset 'paper256': family diffusion has auto, ddpm32, ddpm256, tiny"),
        ([*diffusion, "--batch", 8, "--micro", 3], "batch 8 cannot be split into 1 processes x 3"),
        ([*diffusion, "--resume", tmp_path / "gan.pt"], "is of family stylegan2; train with --family stylegan2"),
        ([*call, tmp_path / "x", "--resume", tmp_path / "ddpm.pt"], "is of family diffusion; train with --family"),
        ([*diffusion, "--resume", "https://x/y"], "or a folder that diffusers saved"),
        ([*diffusion, "--resume", tmp_path / "mine"], "config.json: cannot be read"),
        ([*call, tmp_path / "mine", *diffusion[9:]], "generator: exists already and is not the factory's"),
    ]:
        refused = factory(*words)
        assert (refused.code, line in refused.err) == (2, True), (words, refused.err)
        assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("resolution", [8, 16, 32, 64, 128, 256, 512])
@pytest.mark.parametrize("name", PRESETS)
def test_presets_fit_every_resolution(name: str, resolution: int) -> None:
    network = preset(name, resolution).network
    channels = network["block_out_channels"]
    assert len(channels) == len(network["down_block_types"]) == len(network["up_block_types"]) >= 2
    assert all(c % network["norm_num_groups"] == 0 and c % 8 == 0 for c in channels)
    assert resolution >> (len(channels) - 1) >= 4
    assert GeneratorOrder("images", Path("run"), family="diffusion", preset=name).preset == name


if __name__ == "__main__":
    from labelfactory.factory.training.parallel import join, leave

    torch.set_num_threads(1)
    run(trainer(Path(sys.argv[1]), world=join("cpu")), Path(sys.argv[2]) / "two", kimg=0.128, progress=False)
    leave()
