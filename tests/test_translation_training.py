"""Training of synthesis models: the table of methods, runs that stop and go on, files, wrong calls."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from PIL import Image
from translation_world import SOURCE, batch_of, write_pairs

from labelfactory.errors import InputError
from labelfactory.factory import options
from labelfactory.factory.translation import training
from labelfactory.factory.translation.learning import train_synthesis
from labelfactory.factory.translation.method import plain_state
from labelfactory.factory.translation.methods import METHODS, TOLD, UNPAIRED, method_class
from labelfactory.factory.translation.model import load_model
from labelfactory.factory.translation.order import SynthesisOrder
from labelfactory.factory.translation.running import run_folder
from labelfactory.factory.translation.settings import LearningSettings

if TYPE_CHECKING:
    from command_line import Factory

CPU = torch.device("cpu")
SMALL: dict[str, dict[str, object]] = {
    "spade": {"width": 2, "hidden": 4, "upsamplings": 2, "judge_width": 2, "judge_layers": 2},
    "pix2pix": {"width": 2, "depth": 3, "judge_width": 2, "judge_layers": 1},
    "cyclegan": {"width": 2, "blocks": 1, "judge_width": 2, "judge_layers": 1},
}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pairs(tmp_path_factory.mktemp("pairs") / "scenes", 6)


def order(method: str, pairs: Path, out: Path, **given: object) -> SynthesisOrder:
    settings = LearningSettings(kimg=0.008, batch_size=2, precision="float32")
    pictures = str(pairs / "images") if method in UNPAIRED else None
    source = str(pairs / "images") if method in UNPAIRED else str(pairs)
    told = {"options": SMALL[method], "settings": settings, "pictures": pictures} | given
    return SynthesisOrder((source,), out, method, **told)  # type: ignore[arg-type]


def test_every_method_is_described_and_small_ones_are_tried() -> None:
    assert set(METHODS) == set(TOLD) == set(SMALL)
    for name in METHODS:
        known = options.options_of(method_class(name))
        assert known
        assert all(entry.about.help.endswith(".") for entry in known.values())
        assert options.checked(name, known, SMALL[name])


@pytest.mark.parametrize("method", METHODS)
def test_a_run_that_was_stopped_gives_the_same_file(
    method: str, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = train_synthesis(order(method, pairs, tmp_path / "short.safetensors"), lambda line: None, False)
    step, count = training.TranslationTrainer.train_step, 0

    def stops(self: training.TranslationTrainer) -> dict[str, torch.Tensor]:
        nonlocal count
        count += 1
        if count == 18:  # there is a snapshot after 16
            raise KeyboardInterrupt
        return step(self)

    settings = LearningSettings(kimg=0.04, batch_size=2, precision="float32", snapshot_minutes=0.0)
    longer = order(method, pairs, tmp_path / "longer.safetensors", settings=settings)
    train_synthesis(longer, lambda line: None, False)
    stopped = order(method, pairs, tmp_path / "stopped.safetensors", settings=settings)
    with monkeypatch.context() as patched:
        patched.setattr(training.TranslationTrainer, "train_step", stops)
        with pytest.raises(KeyboardInterrupt):
            train_synthesis(stopped, lambda line: None, False)
    said: list[str] = []
    train_synthesis(stopped, said.append, False)
    assert any("goes on from" in line for line in said)
    assert (tmp_path / "stopped.safetensors").read_bytes() == (tmp_path / "longer.safetensors").read_bytes()
    assert short.read_bytes() != (tmp_path / "longer.safetensors").read_bytes()
    folder = run_folder(short)
    assert (folder / "log.jsonl").is_file()
    assert list((folder / "samples").glob("*.png"))


def test_a_kind_of_two_pictures_makes_a_sheet_of_two_rows(pairs: Path, tmp_path: Path) -> None:
    few = write_pairs(tmp_path / "few", 2) / "images"
    out = train_synthesis(
        order("cyclegan", pairs, tmp_path / "g.safetensors", pictures=str(few)), lambda line: None, False
    )
    with Image.open(next((run_folder(out) / "samples").glob("*.png"))) as sheet:
        assert sheet.height < 3 * 24


def test_a_file_holds_the_averaged_networks_without_spectral_normalisation(pairs: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    method = method_class("spade")(SOURCE, 3, **SMALL["spade"])
    method.eval()
    batch = batch_of()
    state = plain_state(method.makers)
    assert not any("parametrizations" in name for name in state)
    train_synthesis(order("spade", pairs, tmp_path / "g.safetensors"), lambda line: None, False)
    model = load_model(tmp_path / "g.safetensors", CPU)
    assert model.about.classes[1].name == "disc"
    assert model.about.size == (24, 32)
    assert not any(p.requires_grad for p in model.makers.parameters())
    picture = model.picture(model.condition(batch.truth))  # type: ignore[arg-type]
    assert picture.shape == (2, 3, 24, 32)
    assert float(picture.detach().abs().max()) <= 1
    # what is loaded computes what was trained, normalised weights and all
    other = method_class("spade")(SOURCE, 3, **SMALL["spade"])
    before = [torch.tanh(n["generator"].eval()(batch.source)) for n in (method.makers, other.makers)]
    assert not torch.allclose(*before)
    from labelfactory.factory.translation.method import plain

    plain(other.makers).load_state_dict(state)
    assert torch.allclose(torch.tanh(other.makers["generator"](batch.source)), before[0], atol=1e-5)


def test_wrong_calls(pairs: Path, tmp_path: Path, factory: "Factory") -> None:
    out = tmp_path / "g.safetensors"
    with pytest.raises(InputError, match="cyclegan needs pictures of the other kind"):
        SynthesisOrder((str(pairs),), out, "cyclegan")
    with pytest.raises(InputError, match="spade takes pairs alone"):
        SynthesisOrder((str(pairs),), out, "spade", pictures=str(pairs))
    with pytest.raises(InputError, match="pix2pix does not take these options: hidden; it takes width"):
        train_synthesis(order("pix2pix", pairs, out, options={"hidden": 3}), print, False)
    with pytest.raises(InputError, match=r"pictures of 4 x 4 pixels: expected sides of 8 or more"):
        train_synthesis(order("spade", pairs, out, size="4x4"), print, False)
    with pytest.raises(InputError, match="no such file; expected torchvision's weights"):
        train_synthesis(order("spade", pairs, out, perceptual_weights=tmp_path / "none.pth"), print, False)
    with pytest.raises(InputError, match="has no instances"):
        train_synthesis(order("spade", pairs, out, edges=True), print, False)
    result = factory("train-synthesis", "--pairs", pairs, "--out", out, "--size", "24")
    assert result.code == 2
    assert "size is 24: expected HEIGHTxWIDTH" in result.err
    with pytest.raises(InputError, match="is not a whole synthesis model file"):
        load_model(pairs / "classes.json", CPU)
