"""Diffusion models of diffusers: pictures from noise, feature maps of noised pictures, of real ones too."""

import json
import shutil
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from command_line import Factory
from generator_contract import GeneratorContract
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from one_line import taken_or_told
from PIL import Image
from torch import nn

from labelfactory.errors import InputError
from labelfactory.factory.diffusion.family import Diffusion
from labelfactory.factory.families import open_generator
from labelfactory.factory.generator import ImageGenerator, invertible
from labelfactory.factory.latents import latents
from labelfactory.interpreters.labelset import LabelSet

diffusers = pytest.importorskip("diffusers")


def save_model(folder: Path, latent: bool = False, **changes: Any) -> Path:
    """A tiny model of random weights, as a pipeline's ``save_pretrained`` lays it out."""
    torch.manual_seed(0)
    settings: dict[str, Any] = {
        "sample_size": 16, "in_channels": 1, "out_channels": 1, "layers_per_block": 1, "norm_num_groups": 4,
        "block_out_channels": (8, 16), "attention_head_dim": 8,
        "down_block_types": ("DownBlock2D", "AttnDownBlock2D"), "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
    }  # fmt: skip
    if latent:
        settings |= {"sample_size": 8, "in_channels": 4, "out_channels": 4}
        vae = diffusers.AutoencoderKL(
            in_channels=3, out_channels=3, latent_channels=4, norm_num_groups=4, block_out_channels=(8, 8),
            down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
        )  # fmt: skip
        vae.save_pretrained(folder / "vae")
    diffusers.UNet2DModel(**settings | changes).save_pretrained(folder / "unet")
    diffusers.DDPMScheduler(num_train_timesteps=1000).save_pretrained(folder / "scheduler")
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "DDPMPipeline"}))
    return folder


class DiffusionContract(GeneratorContract):
    family = "diffusion"
    settings: ClassVar[dict[str, Any]] = {}

    @pytest.fixture(autouse=True)
    def _few_steps(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("labelfactory.factory.diffusion.family.STEPS", 3)

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return save_model(tmp_path / "model", **self.settings)

    def layers(self, generator: ImageGenerator) -> list[nn.Module]:
        return []  # maps do not make the picture here: alignment is tested by what a picture does to them

    @torch.no_grad()
    def _straighten(self, opened: ImageGenerator) -> None:
        assert isinstance(opened, Diffusion)
        parts = [opened._unet, *([] if opened._vae is None else [opened._vae])]
        for weight in [w for part in parts for w in part.parameters() if w.ndim == 4]:
            weight.copy_((weight + weight.flip(2, 3)) / 2)

    def test_a_spot_in_a_real_picture_is_seen_in_every_map_at_its_place(self, opened: ImageGenerator) -> None:
        assert isinstance(opened, Diffusion)
        height, width = opened.size
        plain = torch.zeros(1, opened.image_channels, height, width)
        classes = torch.zeros(1, dtype=torch.int64) if opened.num_classes else None
        places = np.random.default_rng(0).integers((height // 3, width // 3), (height // 2, width // 2), (4, 2))
        spots = [*places, *(np.array([height - 1, width - 1]) - places)]  # what borders do to one, they do to the other
        self._straighten(opened)
        with torch.inference_mode():
            before = opened.see(plain, classes)
            for k, m in enumerate(before):
                offsets = []
                for y, x in spots:
                    spotted = plain.clone()
                    spotted[:, :, y, x] = 1.0
                    change = (opened.see(spotted, classes)[k] - m).float().square().sum((0, 1))
                    change = torch.where(change > 0.25 * change.max(), change, 0.0)  # attention sees it everywhere
                    rows, columns = torch.arange(change.shape[0]) + 0.5, torch.arange(change.shape[1]) + 0.5
                    at = (change.sum(1) * rows).sum() / change.sum(), (change.sum(0) * columns).sum() / change.sum()
                    scale = change.shape[0] / height, change.shape[1] / width
                    offsets.append([float(at[0]) - (y + 0.5) * scale[0], float(at[1]) - (x + 0.5) * scale[1]])
                assert np.abs(np.mean(offsets, 0)).max() < 0.5, (k, np.mean(offsets, 0))


class TestPixels(DiffusionContract):
    def test_what_is_seen_of_a_made_picture_is_what_was_seen_while_making_it(self, opened: ImageGenerator) -> None:
        assert isinstance(opened, Diffusion)
        z = torch.from_numpy(latents([1, 2], opened.latent_shape))
        with torch.inference_mode():
            picture, maps = opened.render(z, 1.0, None)
            again = opened.see(picture)
        assert all(torch.equal(a, b) for a, b in zip(maps, again, strict=True))
        with pytest.raises(InputError, match="cannot invert"):
            invertible(opened)


class TestClasses(DiffusionContract):
    settings: ClassVar[dict[str, Any]] = {"num_class_embeds": 3}


class TestLatents(DiffusionContract):
    settings: ClassVar[dict[str, Any]] = {"latent": True}

    def test_content_that_is_shifted_takes_its_features_along(self, opened: ImageGenerator) -> None:
        pytest.skip("maps of 16 px of a random autoencoder show content everywhere; spots are found, as tested here")


def test_large_networks_are_read_where_the_paper_reads_them(tmp_path: Path) -> None:
    blocks = {
        "block_out_channels": (8,) * 6,
        "layers_per_block": 2,
        "sample_size": 32,
        "in_channels": 3,
        "out_channels": 3,
    }
    kinds = {"down_block_types": ("DownBlock2D",) * 6, "up_block_types": ("UpBlock2D",) * 6}
    opened = open_generator(save_model(tmp_path / "m", **blocks, **kinds), "cpu")
    assert len(opened.feature_channels) == 5 * 3
    assert opened.feature_sizes[-1] == opened.size == (32, 32)


def test_what_is_wrong_with_a_folder_is_said(tmp_path: Path) -> None:
    path = save_model(tmp_path / "model")
    assert open_generator(path / "unet", "cpu").size == (16, 16)  # without a scheduler: DDPM's usual one
    weights = path / "unet" / "diffusion_pytorch_model.safetensors"

    def edited(part: str, **changes: Any) -> Callable[[Path], None]:
        return lambda folder: _edit(folder / part, **changes)

    def cut(folder: Path) -> None:
        (folder / "unet" / weights.name).write_bytes(weights.read_bytes()[:500])

    unet, noise = "unet/config.json", "scheduler/scheduler_config.json"
    faults: dict[str, tuple[Callable[[Path], Any], str]] = {
        "class": (edited(unet, _class_name="FluxTransformer2DModel"), "FluxTransformer2DModel"),
        "json": (lambda p: (p / unet).write_text("{"), "cannot be read"),
        "pickle": (lambda p: (p / "unet" / weights.name).rename(p / "unet" / "m.bin"), "no weights in safetensors"),
        "cut": (cut, "cannot be opened"),
        "noise": (edited(noise, _class_name="os.system"), "is a os.system"),
        "shape": (edited(unet, block_out_channels=[8, 32]), "cannot be opened"),
        "vq": (lambda p: (p / "vqvae").mkdir(), "AutoencoderKL"),
    }
    for name, (spoil, line) in faults.items():
        shutil.copytree(path, tmp_path / name)
        spoil(tmp_path / name)
        with pytest.raises(InputError, match=line) as error:
            open_generator(tmp_path / name, "cpu")
        assert str(error.value).startswith(str(tmp_path / name))
        assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="has none"):
        open_generator(path, "cpu").generate(latents([1], (1, 16, 16)), 0.7)
    digest = open_generator(path, "cpu").sha256
    _edit(path / "scheduler" / "scheduler_config.json", beta_end=0.03)
    assert open_generator(path, "cpu").sha256 != digest


NUMBERS = st.one_of(st.none(), st.booleans(), st.integers(-3, 70), st.floats(), st.text(max_size=4))
SETTINGS = st.one_of(NUMBERS, st.lists(NUMBERS, max_size=3), st.dictionaries(st.text(max_size=3), NUMBERS, max_size=2))
PARTS = (
    "unet/config.json",
    "scheduler/scheduler_config.json",
    "unet/diffusion_pytorch_model.safetensors",
    "labelfactory.json",
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_folder_ends_in_one_line_or_opens(data: st.DataObject, tmp_path: Path) -> None:
    """One setting changed to anything, or bytes changed, cut off, or gone, in any file."""
    whole, path = tmp_path / "whole", tmp_path / "damaged"
    if not whole.exists():
        save_model(whole)
        (whole / "labelfactory.json").write_text('{"images_seen": 8}')
    shutil.rmtree(path, ignore_errors=True)
    shutil.copytree(whole, path)
    file = path / data.draw(st.sampled_from(PARTS))
    if file.suffix == ".json" and data.draw(st.booleans()):
        names = sorted(json.loads(file.read_text()))
        _edit(file, **{data.draw(st.sampled_from(names)): data.draw(SETTINGS)})
    else:
        content = bytearray(file.read_bytes())
        del content[data.draw(st.integers(0, len(content))) :]
        for _ in range(data.draw(st.integers(0, 3))):
            if content:
                content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        file.write_bytes(content)

    def used() -> None:
        with warnings.catch_warnings(action="ignore"):
            opened = open_generator(path, "cpu")
            opened.generate(latents([1], opened.latent_shape), class_index=0 if opened.num_classes else None)

    taken_or_told(path, used)


def test_code_in_a_folder_is_left_alone(tmp_path: Path) -> None:
    """Programs beside the weights, and settings that name classes of somebody's: neither imported nor run."""
    path = save_model(tmp_path / "model")
    program = "raise SystemExit('run')"
    for name in ("pipeline.py", "unet/unet.py", "unet/__init__.py", "scheduler/scheduler.py"):
        (path / name).write_text(program)
    (path / "model_index.json").write_text(json.dumps({"_class_name": ["pipeline", "Evil"], "unet": ["unet", "Evil"]}))
    _edit(path / "unet/config.json", auto_map={"AutoModel": "unet.Evil"}, _class_name="UNet2DModel")
    before = set(sys.modules)
    assert open_generator(path, "cpu").size == (16, 16)
    assert not [name for name in set(sys.modules) - before if "Evil" in name or name in ("pipeline", "unet")]


def _edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_photographs_teach_and_are_labelled_without_a_data_set(
    tmp_path: Path, factory: Factory, tiny_checkpoint: Path
) -> None:
    """Bright discs: the interpreter learns from the photographs' own noised features and labels other photographs."""
    rng, (y, x) = np.random.default_rng(0), np.indices((16, 16))
    for part, count in (("learn", 6), ("test", 3)):
        for kind in ("images", "masks"):
            (tmp_path / part / kind).mkdir(parents=True)
        for i in range(count):
            disc = np.hypot(y - rng.uniform(5, 11), x - rng.uniform(5, 11)) < 4
            picture = (60 + 120 * disc + rng.normal(0, 8, disc.shape)).clip(0, 255).astype(np.uint8)
            Image.fromarray(picture).save(tmp_path / part / "images" / f"{i}.png")
            Image.fromarray(disc.astype(np.uint8)).save(tmp_path / part / "masks" / f"{i}.png")
    model, learn = save_model(tmp_path / "model"), tmp_path / "learn"
    call = ["invert", "--images", learn / "images", "--masks", learn / "masks", "--classes", "ground,disc"]
    made = factory(*call, "--generator", model, "--out", tmp_path / "set", "--amplify", "mirror")
    assert made.code == 0, made.err
    assert "nothing is inverted" in made.out
    labels = LabelSet.load(tmp_path / "set")
    assert [s.origin for s in labels] == [None] * 12
    trained = ["train-interpreter", "--labels", tmp_path / "set", "--out", tmp_path / "i.safetensors"]
    done = factory(*trained, "--generator", model)
    assert done.code == 0, done.err
    ask = ["predict", "--interpreter", tmp_path / "i.safetensors", "--images", tmp_path / "test" / "images"]
    done = factory(*ask, "--generator", model, "--out", tmp_path / "out")
    assert done.code == 0, done.err
    overlaps = []
    for i in range(3):
        mask, truth = (np.array(Image.open(tmp_path / f / "masks" / f"{i}.png")) for f in ("out", "test"))
        overlaps.append((mask & truth).sum() / (mask | truth).sum())
    assert np.mean(overlaps) > 0.7
    for wrong, line in [
        ([*ask, "--generator", tiny_checkpoint, "--out", tmp_path / "x"], "belongs to another generator"),
        ([*ask, "--out", tmp_path / "x"], "generator"),
        ([*trained[:3], "--out", tmp_path / "j.safetensors", "--generator", tiny_checkpoint], "belong to generator"),
    ]:
        refused = factory(*wrong)
        assert refused.code == 2
        assert line in refused.err
