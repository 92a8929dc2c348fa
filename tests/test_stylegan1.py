"""StyleGAN: equal to rosinality's arithmetic and to the paper's, from PyTorch's and from TensorFlow's files."""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import DATA
from generator_contract import GeneratorContract
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from official_format import tensorflow_networks
from one_line import taken_or_told
from torch import Tensor, nn

from labelfactory.errors import InputError
from labelfactory.factory.families import open_generator
from labelfactory.factory.generator import ImageGenerator
from labelfactory.factory.latents import latents
from labelfactory.factory.stylegan1.family import StyleGAN
from labelfactory.factory.stylegan1.networks import Generator
from labelfactory.factory.stylegan1.weights import from_rosinality

Arrays = dict[str, np.ndarray]


@pytest.fixture(scope="module")
def golden() -> dict[str, Tensor]:
    with np.load(DATA / "golden_stylegan.npz") as file:
        return {name: torch.from_numpy(file[name]) for name in file.files}


def state_of(golden: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix("state/"): value for name, value in golden.items() if name.startswith("state/")}


def near(mine: Tensor, theirs: Tensor, tolerance: float = 1e-4) -> bool:
    return float((mine - theirs).abs().max() / theirs.abs().max()) < tolerance


@torch.no_grad()
def with_their_noise(network: Generator) -> Generator:
    """The noise that the golden numbers were computed with: one a resolution."""
    for i in range(len(network.config.channels)):
        draw = np.random.Generator(np.random.Philox(key=np.array([77, i], np.uint64)))
        side = 4 << i
        noise = torch.from_numpy(draw.standard_normal((side, side), dtype=np.float32))
        for k in range(2):
            getattr(network.synthesis, f"b{side}_{k}").noise_const.copy_(noise)
    return network


@torch.no_grad()
def test_every_map_agrees_with_rosinalitys_arithmetic(golden: dict[str, Tensor]) -> None:
    tensors, config = from_rosinality(state_of(golden), 32)
    network = Generator(**config.to_dict())
    network.load_state_dict({"mapping.w_avg": torch.zeros(config.w_dim)} | tensors)
    with_their_noise(network)
    ws = network.mapping(golden["z"], None)
    assert near(ws[:, 0], golden["w"])
    features: list[Tensor] = []
    assert near(network.synthesis(ws, features=features), golden["image3"])
    for i, feature in enumerate(features):
        step = max(1, feature.shape[2] // 8)
        assert near(feature[:, :3, ::step, ::step], golden[f"map{i}"]), i


def test_the_resolution_that_was_trained_is_found(golden: dict[str, Tensor], tmp_path: Path) -> None:
    """rosinality's networks hold layers up to 1024 px from the start; an untrained picture's bias is zero."""
    torch.save({"g_running": state_of(golden), "generator": state_of(golden)}, tmp_path / "train_step-3.model")
    opened = open_generator(tmp_path / "train_step-3.model", "cpu")
    assert isinstance(opened, StyleGAN)
    assert (opened.size, opened.metadata["format"]) == ((16, 16), "stylegan of rosinality")
    assert opened.metadata["w_avg"].startswith("estimated")
    with_their_noise(opened._network)
    picture, _ = opened.render(golden["z"], 1.0, None)
    assert near(picture, golden["image2"])


def variables(channels: tuple[int, ...] = (8, 8, 6), z_dim: int = 8, classes: int = 0, rgb: int = 3) -> dict[str, list]:
    """Random variables of a TensorFlow program's synthesis and mapping networks."""
    rng = np.random.default_rng(0)

    def draw(*shape: int, scale: float = 1.0) -> np.ndarray:
        return (scale * rng.standard_normal(shape)).astype(np.float32)

    mapping = [("LabelConcat/weight", draw(classes, z_dim))] if classes else []
    width = z_dim * (2 if classes else 1)
    for i in range(3):
        mapping += [(f"Dense{i}/weight", draw(width, 8, scale=100)), (f"Dense{i}/bias", draw(8, scale=10))]
        width = 8
    synthesis: list = [("lod", np.float32(0)), ("4x4/Const/const", draw(1, channels[0], 4, 4))]
    before = channels[0]
    for i, count in enumerate(channels):
        side = 4 << i
        for k, layer in enumerate(("Conv0_up" if i else "Const", "Conv1" if i else "Conv")):
            place = f"{side}x{side}/{layer}"
            synthesis.append((f"noise{2 * i + k}", draw(1, 1, side, side)))
            if layer != "Const":
                synthesis.append((f"{place}/weight", draw(3, 3, before, count)))
            before = count
            synthesis += [(f"{place}/bias", draw(count, scale=0.3)), (f"{place}/Noise/weight", draw(count, scale=0.3))]
            synthesis.append((f"{place}/StyleMod/weight", draw(8, 2 * count)))
            synthesis.append((f"{place}/StyleMod/bias", draw(2 * count, scale=0.3)))
        lod = len(channels) - 1 - i
        synthesis += [(f"ToRGB_lod{lod}/weight", draw(1, 1, count, rgb)), (f"ToRGB_lod{lod}/bias", draw(rgb))]
    return {"synthesis": synthesis, "mapping": mapping}


def tensorflow_file(path: Path, **sizes: Any) -> Path:
    mean = np.random.default_rng(1).standard_normal(8).astype(np.float32)
    path.write_bytes(tensorflow_networks([("dlatent_avg", mean), ("lod", np.float32(0))], variables(**sizes)))
    return path


def papers_arithmetic(of: dict[str, list], z: Tensor, psi: float, labels: Tensor | None = None) -> list[Tensor]:
    """The paper's equations on TensorFlow's variables, written apart from the family: maps, then the picture.

    From 128 px on a layer scales up by a transposed convolution of the kernel summed over its four shifts.
    """
    m = {name: torch.from_numpy(np.asarray(value)) for name, value in of["mapping"]}
    s = {name: torch.from_numpy(np.asarray(value)) for name, value in of["synthesis"]}
    x = z if labels is None else torch.cat([z, labels @ m["LabelConcat/weight"]], 1)
    x = x / torch.sqrt((x * x).mean(1, keepdim=True) + 1e-8)
    for i in range(3):
        weight = m[f"Dense{i}/weight"]
        x = F.leaky_relu(x @ weight * (2**0.5 / len(weight) ** 0.5 * 0.01) + 0.01 * m[f"Dense{i}/bias"], 0.2)
    mean = torch.from_numpy(np.random.default_rng(1).standard_normal(8).astype(np.float32))
    ws = [mean + psi * (x - mean) if i < 8 else x for i in range(20)]
    levels = sorted({int(name.split("x")[0]) for name in s if name[0].isdigit()})
    x, maps, row = s["4x4/Const/const"].repeat(len(z), 1, 1, 1), [], torch.tensor([1.0, 2, 1])
    for i, side in enumerate(levels):
        for k, layer in enumerate(("Conv0_up" if i else "Const", "Conv1" if i else "Conv")):
            place = f"{side}x{side}/{layer}"
            if layer != "Const":
                kernel = s[f"{place}/weight"].permute(3, 2, 0, 1)
                kernel = kernel * (2**0.5 / kernel[0].numel() ** 0.5)
                if layer == "Conv0_up" and side >= 128:
                    wide = F.pad(kernel, (1, 1, 1, 1))
                    wide = wide[..., 1:, 1:] + wide[..., :-1, 1:] + wide[..., 1:, :-1] + wide[..., :-1, :-1]
                    x = F.conv_transpose2d(x, wide.transpose(0, 1), stride=2, padding=1)
                else:
                    x = x.repeat_interleave(2, 2).repeat_interleave(2, 3) if layer == "Conv0_up" else x
                    x = F.conv2d(x, kernel, padding=1)
                if layer == "Conv0_up":
                    blur = (torch.outer(row, row) / 16).expand(x.shape[1], 1, 3, 3)
                    x = F.conv2d(x, blur, padding=1, groups=x.shape[1])
            x = x + s[f"noise{2 * i + k}"] * s[f"{place}/Noise/weight"][:, None, None]
            x = F.leaky_relu(x + s[f"{place}/bias"][:, None, None], 0.2)
            x = F.instance_norm(x, eps=1e-8)
            weight = s[f"{place}/StyleMod/weight"]
            style = ws[2 * i + k] @ weight / len(weight) ** 0.5 + s[f"{place}/StyleMod/bias"]
            scale, shift = style.view(len(z), 2, -1, 1, 1).unbind(1)
            x = x * (scale + 1) + shift
            maps.append(x)
    kernel = s["ToRGB_lod0/weight"].permute(3, 2, 0, 1)
    return [*maps, F.conv2d(x, kernel / kernel[0].numel() ** 0.5, s["ToRGB_lod0/bias"])]


@pytest.mark.parametrize(
    "sizes",
    [{}, {"classes": 3}, {"rgb": 1}, {"channels": (8, 8, 8, 6, 4, 4)}],
    ids=["colour", "classes", "grey", "128px"],
)
def test_tensorflows_pickles_make_what_the_paper_says(sizes: dict[str, Any], tmp_path: Path) -> None:
    opened = open_generator(tensorflow_file(tmp_path / "karras2019.pkl", **sizes), "cpu")
    assert isinstance(opened, StyleGAN)
    z = torch.from_numpy(latents([1, 2], (8,)))
    classes = torch.tensor([0, 2]) if "classes" in sizes else None
    labels = None if classes is None else F.one_hot(classes, 3).float()
    with torch.no_grad():
        picture, maps = opened.render(z, 0.7, classes)
        expected = papers_arithmetic(variables(**sizes), z, 0.7, labels)
    assert len(maps) + 1 == len(expected)
    for mine, theirs in zip([*maps, picture], expected, strict=True):
        assert near(mine, theirs)


def test_truncation_leaves_the_fine_layers_alone(tmp_path: Path) -> None:
    opened = open_generator(tensorflow_file(tmp_path / "g.pkl", channels=(8, 8, 8, 6, 4)), "cpu")
    assert isinstance(opened, StyleGAN)
    z = torch.from_numpy(latents([1], (8,)))
    free, cut = (opened.styles(z, psi, None) for psi in (1.0, 0.0))
    assert torch.equal(free[:, 8:], cut[:, 8:])
    assert torch.allclose(cut[0, :8], opened._network.mapping.w_avg.expand(8, -1))


class StyleGANContract(GeneratorContract):
    family = "stylegan"
    sizes: ClassVar[dict[str, Any]] = {"channels": (8, 8, 6, 6)}

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return tensorflow_file(tmp_path / "g.pkl", **self.sizes)

    def layers(self, generator: ImageGenerator) -> list[nn.Module]:
        return list(generator._network.synthesis.layers())  # type: ignore[attr-defined]


class TestStyleGAN(StyleGANContract):
    pass


class TestConditional(StyleGANContract):
    sizes: ClassVar[dict[str, Any]] = {"channels": (8, 8, 6, 6), "classes": 3, "rgb": 1}


def opens_or_says_why(path: Path) -> None:
    taken_or_told(path, lambda: open_generator(path, "cpu"))


def broken(value: dict[str, Tensor], name: str, how: str) -> dict[str, Tensor]:
    tensor = value[name]
    changed: dict[str, dict[str, Tensor]] = {
        "missing": {k: v for k, v in value.items() if k != name},
        "shape": value | {name: torch.zeros(*tensor.shape, 2)},
        "empty": value | {name: torch.zeros(0)},
        "flat": value | {name: tensor.flatten()[:1]},
        "nan": value | {name: torch.full_like(tensor, float("nan"))},
        "whole numbers": value | {name: tensor.to(torch.int64)},
        "unknown": value | {f"{name}.more": tensor},
    }
    return changed[how]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_table_ends_in_one_line_or_opens(
    data: st.DataObject, golden: dict[str, Tensor], tmp_path: Path
) -> None:
    state = state_of(golden)
    name = data.draw(st.sampled_from(sorted(state)))
    kinds = ["missing", "shape", "empty", "flat", "nan", "whole numbers", "unknown"]
    torch.save({"g_running": broken(state, name, data.draw(st.sampled_from(kinds)))}, tmp_path / "m.model")
    opens_or_says_why(tmp_path / "m.model")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_pickle_ends_in_one_line_or_opens(data: st.DataObject, tmp_path: Path) -> None:
    parts = variables()
    part = data.draw(st.sampled_from(["synthesis", "mapping"]))
    at = data.draw(st.integers(0, len(parts[part]) - 1))
    name, value = parts[part][at]
    wrong: list[Any] = [
        "text",
        None,
        np.zeros(0, np.float32),
        np.zeros((2, 2, 2, 2, 2), np.float32),
        np.full((3,), np.nan),
    ]
    replacement = data.draw(st.sampled_from([*range(len(wrong)), "drop", "rename"]))
    if replacement == "drop":
        del parts[part][at]
    elif replacement == "rename":
        parts[part][at] = ("9x9/" + name, value)
    else:
        parts[part][at] = (name, wrong[int(replacement)])
    (tmp_path / "m.pkl").write_bytes(tensorflow_networks([("dlatent_avg", np.zeros(8, np.float32))], parts))
    opens_or_says_why(tmp_path / "m.pkl")


def test_what_is_another_arithmetic_is_named(golden: dict[str, Tensor], tmp_path: Path) -> None:
    early = state_of(golden)
    early["generator.progression.1.conv1.conv.weight_orig"] = early.pop(
        "generator.progression.1.conv1.1.conv.weight_orig"
    )
    torch.save(early, tmp_path / "early.model")
    with pytest.raises(InputError, match="early version of rosinality's StyleGAN"):
        open_generator(tmp_path / "early.model", "cpu")
    converted = {f"g_synthesis.blocks.{n}.const": torch.zeros(1, 4, 4, 4) for n in ("4x4", "8x8")}
    torch.save(converted, tmp_path / "converted.pt")
    with pytest.raises(InputError, match=r"converted by lernapparat.* take the official pickle"):
        open_generator(tmp_path / "converted.pt", "cpu")
    with pytest.raises(InputError, match="resolutions up to 32 px, not 64"):
        from_rosinality(state_of(golden), 64)
