"""``factory convert``: what a checkpoint does not say is asked for, and kept in the file that is written."""

from pathlib import Path
from typing import Any

import pytest
import torch
from command_line import Factory
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from official_format import official_pickle
from one_line import taken_or_told
from test_diffusion import save_model
from test_dresses import CONFIG, made
from test_stylegan1 import golden, state_of, tensorflow_file
from test_stylegan3 import Golden

from labelfactory.errors import InputError
from labelfactory.factory.families import open_generator
from labelfactory.factory.latents import latents
from labelfactory.factory.stylegan2_ada.checkpoint import save_safetensors

__all__ = ["golden"]  # a fixture


def pictures(path: Path, **config: Any) -> torch.Tensor:
    opened = open_generator(path, "cpu", config=config)
    return opened.generate(latents([1, 2], opened.latent_shape), 0.7).images


def test_a_state_dict_of_another_mapping_rate(tmp_path: Path, factory: Factory) -> None:
    network = made(mapping_lr=0.1)
    torch.save(network.state_dict(), tmp_path / "bare.pt")
    save_safetensors(tmp_path / "whole.safetensors", network)
    right = pictures(tmp_path / "whole.safetensors")
    assert not torch.equal(pictures(tmp_path / "bare.pt"), right)
    assert open_generator(tmp_path / "bare.pt", "cpu").metadata["assumed"].startswith("mapping_lr 0.01")
    call = [
        "convert",
        "--generator",
        tmp_path / "bare.pt",
        "--config",
        "mapping_lr=0.1",
        "--out",
        tmp_path / "g.safetensors",
    ]
    done = factory(*call)
    assert done.code == 0, done.err
    assert "stylegan2, 16 x 16 pixels, 3 channels, 0 classes" in done.out
    assert "assumed" not in done.out
    assert torch.equal(pictures(tmp_path / "g.safetensors"), right)
    assert factory(*call).code == 0, "the file is ours: it may be written again"


@pytest.mark.parametrize("kind", ["t", "r"])
def test_stylegan3_of_a_state_dict(kind: str, tmp_path: Path, factory: Factory) -> None:
    golden = Golden(kind)
    (tmp_path / "whole.pkl").write_bytes(golden.pickle())
    torch.save(golden.weights, tmp_path / "bare.pt")
    told = golden.settings.to_dict()
    usual = {"z_dim", "c_dim", "w_dim", "img_resolution", "img_channels", "mapping_layers", "conv_kernel"}
    config = [word for k, v in told.items() if k not in usual for word in ("--config", f"{k}={v}")]
    done = factory("convert", "--generator", tmp_path / "bare.pt", *config, "--out", tmp_path / "g.safetensors")
    assert done.code == 0, done.err
    assert torch.equal(pictures(tmp_path / "g.safetensors"), pictures(tmp_path / "whole.pkl"))


def test_stylegan_of_both_makes(golden: dict[str, torch.Tensor], tmp_path: Path, factory: Factory) -> None:
    torch.save({"g_running": state_of(golden)}, tmp_path / "r.model")
    out = tmp_path / "r.safetensors"
    done = factory("convert", "--generator", tmp_path / "r.model", "--config", "resolution=32", "--out", out)
    assert done.code == 0, done.err
    assert open_generator(out, "cpu").size == (32, 32)
    assert torch.equal(pictures(out), pictures(tmp_path / "r.model", resolution=32))
    done = factory("convert", "--generator", tensorflow_file(tmp_path / "t.pkl"), "--out", tmp_path / "t.safetensors")
    assert done.code == 0, done.err
    assert torch.equal(pictures(tmp_path / "t.safetensors"), pictures(tmp_path / "t.pkl"))
    assert not torch.equal(pictures(tmp_path / "t.pkl", mapping_lr=1.0), pictures(tmp_path / "t.pkl"))


def test_what_cannot_be_is_said_in_one_line(golden: dict[str, torch.Tensor], tmp_path: Path, factory: Factory) -> None:
    network = made()
    torch.save(network.state_dict(), tmp_path / "bare.pt")
    (tmp_path / "whole.pkl").write_bytes(official_pickle(CONFIG, network.state_dict()))
    torch.save(Golden("t").weights, tmp_path / "three.pt")
    torch.save({"g_running": state_of(golden)}, tmp_path / "r.model")
    faults = [
        ("whole.pkl", "mapping_lr=0.1", "says itself what its network is; leave out mapping_lr"),
        ("bare.pt", "colour=red", "unknown setting colour"),
        ("bare.pt", "mapping_lr=fast", "mapping_lr is 'fast'; expected a number"),
        ("bare.pt", "img_resolution=32", "its config asks for"),
        ("bare.pt", "w_dim=9", "its config asks for"),
        ("three.pt", "num_critical=5", "its config asks for"),
        ("r.model", "resolution=64", "resolutions up to 32 px, not 64"),
        ("r.model", "resolution=[8]", "resolution is [8]; expected 4, 8"),
        ("r.model", "mapping_lr=1", "unknown setting mapping_lr; expected resolution"),
        ("bare.pt", "mapping_lr", "expected NAME=VALUE"),
    ]
    for name, config, line in faults:
        call = ["convert", "--generator", tmp_path / name, "--config", config, "--out", tmp_path / "g.safetensors"]
        refused = factory(*call)
        assert (refused.code, line in refused.err) == (2, True), (name, config, refused.err)
        assert not (tmp_path / "g.safetensors").exists()
    pytest.importorskip("diffusers")
    refused = factory("convert", "--generator", save_model(tmp_path / "d"), "--out", tmp_path / "g.safetensors")
    assert "says all of itself; it is taken as it is" in refused.err
    with pytest.raises(InputError, match="leave out steps"):
        open_generator(tmp_path / "d", "cpu", config={"steps": 3})


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 10**7),
    st.floats(),
    st.text(max_size=5),
    st.lists(st.integers(-2, 9000), max_size=4),
)
NAMES = sorted(
    {*CONFIG, "mapping_lr", "use_noise", "resample_filter", "architecture", "start", "channels", "joint_norm"}
)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(config=st.dictionaries(st.sampled_from([*NAMES, "other"]), VALUES, max_size=3))
def test_any_settings_open_a_generator_or_end_in_one_line(config: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "bare.pt"
    if not path.exists():
        torch.save(made().state_dict(), path)
    taken_or_told(path, lambda: open_generator(path, "cpu", config=config))
