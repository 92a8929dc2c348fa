"""The league in miniature: every method on toy pictures, resumed, with its table and figure; leaves' rare class."""

import importlib
import io
import json
import zipfile
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from disc_world import discs
from PIL import Image
from safetensors.torch import save_file
from test_downstream_study import BENCHMARKS, write_split

from labelfactory.errors import InputError
from labelfactory.factory.segmenters.catalogue import build_segmenter
from labelfactory.factory.stylegan2_ada.checkpoint import save_safetensors
from labelfactory.factory.stylegan2_ada.networks import Discriminator, Generator

FEW = ["--seeds", "0", "--labels", "2", "--steps", "2", "--batch-size", "2", "--pairs", "8", "--inversion-steps", "1"]
FEW += ["--encoder-steps", "1", "--min-fidelity", "-1000", "--amplify", "none", "--kimg", "0.004", "--device", "cpu"]
FEW += ["--network-options", '{"width": 4, "depth": 2}']


@pytest.fixture
def league(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("league")


def write_leaves(folder: Path, split: str, n: int, masks: bool = True) -> None:
    """Coloured discs with a spot, as the leaves have their pictures: oblong, in zips."""

    def png(array: np.ndarray) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(array).resize((32, 16), Image.Resampling.NEAREST).save(buffer, "PNG")
        return buffer.getvalue()

    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / f"{split}_images.zip", "w") as images:
        for i, pair in enumerate(discs(n, seed=n)):
            images.writestr(f"{i}.png", png(np.repeat(pair.image, 3, 2)))
    if not masks:
        return
    with zipfile.ZipFile(folder / f"{split}_masks.zip", "w") as drawn:
        for i, pair in enumerate(discs(n, seed=n)):
            mask = pair.mask.copy()
            mask[7:9, 7:9] = 2
            drawn.writestr(f"{i}.png", png(mask))


def imagenet(path: Path) -> Path:
    """A file like torchvision's, of random weights."""
    state = build_segmenter("deeplabv3plus-mobilenetv2", 3, 2).state_dict()
    save_file({k.removeprefix("backbone."): v for k, v in state.items() if k.startswith("backbone.")}, path)
    return path


def test_every_method_in_pieces(
    league: ModuleType, tmp_path: Path, tiny_checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = tmp_path / "data" / "nuclei64", tmp_path / "league"
    data.mkdir(parents=True)
    write_split(data, "train", 6, 0)
    write_split(data, "val", 3, 1)
    call = ["--data", str(data.parent), "--out", str(out), "--generator", f"nuclei={tiny_checkpoint}", *FEW]
    call += ["--domains", "nuclei"]
    league.main([*call, "--minutes", "0"])
    assert "0 of 11 cells are done" in capsys.readouterr().out
    league.main([*call, "--only", "imagenet"])
    assert "left out: 1 cells that start from ImageNet" in capsys.readouterr().out
    with pytest.raises(InputError, match="generator here: expected DOMAIN=PLACE"):
        league.main([*call, "--generator", "here"])
    call += ["--imagenet", str(imagenet(tmp_path / "mobilenet.safetensors"))]
    league.main([*call, "--only", "forest,upper,real_n02_s0_startp"])
    assert "0 cells are missing" in capsys.readouterr().out
    kept = {p: p.stat().st_mtime_ns for p in (out / "nuclei" / "cells").iterdir()}
    league.main(call)
    shown = capsys.readouterr().out
    assert "3 of 11 cells are done" in shown
    assert "CPU hours so far; 0 cells are missing, which may take 0.0" in shown
    assert all(path.stat().st_mtime_ns == time for path, time in kept.items())
    rows = [line for line in (out / "league.md").read_text().splitlines() if line.startswith("| 2 | ")]
    methods = importlib.import_module("league_methods")
    assert [row.split(" | ")[1] for row in rows] == list(methods.METHODS)
    ahead = {row.split(" | ")[1]: row.split(" | ")[3] for row in rows}
    assert ahead.pop(methods.FACTORY) == ""
    assert all(text[0] in "+-" and " to " in text for text in ahead.values())
    cells = json.loads((out / "league.json").read_text())
    assert len(cells) >= 11
    assert len({tuple(cell["iou"]) for cell in cells}) > 8, "each method gives masks of its own"
    assert (out / "league.png").stat().st_size > 1000
    league.main([*call, "--list"])
    assert capsys.readouterr().out.count("done  ") == 11
    with pytest.raises(InputError, match="domain trees: expected some of nuclei, leaves"):
        league.main([*call, "--domains", "trees"])


def test_a_rare_class_stands_beside_the_mean(league: ModuleType, tmp_path: Path) -> None:
    for split, n in (("train", 6), ("val", 4)):
        write_leaves(tmp_path / "leaves", split, n)
    write_leaves(tmp_path / "leaves", "unlabelled", 9, masks=False)
    torch.manual_seed(0)
    sizes = {"img_resolution": 16, "img_channels": 3, "channel_base": 128, "channel_max": 12, "c_dim": 0}
    generator = Generator(z_dim=8, w_dim=8, mapping_layers=2, **sizes)
    save_safetensors(tmp_path / "g.safetensors", generator, Discriminator(**sizes))
    out = tmp_path / "league"
    call = ["--data", str(tmp_path), "--out", str(out), "--generator", f"leaves={tmp_path / 'g.safetensors'}", *FEW]
    league.main([*call, "--domains", "leaves", "--only", "forest,upper,mean-teacher"])
    text = (out / "league.md").read_text()
    assert "| symptom IoU |" in text
    assert "| 2 | pixel forest |" in text
    with np.load(out / "leaves" / "train-16.npz") as found:
        assert found["images"].shape == (6, 16, 16, 3)
        assert set(np.unique(found["masks"])) == {0, 1, 2}
    with np.load(out / "leaves" / "pictures-16.npz") as found:
        assert found["images"].shape == (9, 16, 16, 3)


def test_options_are_chosen_without_val(league: ModuleType) -> None:
    pairs, parts = discs(40), importlib.import_module("downstream_parts")
    pairs.groups = [f"slide{i // 4}" for i in range(40)]
    rest, held = parts.parted(pairs)
    assert (len(rest), len(held)) == (32, 8)
    assert not set(rest.groups) & set(held.groups)
    assert sorted([*rest.names, *held.names]) == sorted(pairs.names)


def test_lines_are_compared_on_the_seeds_that_both_have(league: ModuleType) -> None:
    report = importlib.import_module("league_report")

    def seed(value: float) -> object:
        return report.Seed({"miou": value, "iou": [value, 0.0]}, np.array([value, value + 0.1]), np.zeros((2, 2)))

    first, second = report.rows_of({0: seed(0.5), 1: seed(0.9)}, {1: seed(0.6), 2: seed(0.1)})
    assert (first.miou, second.miou) == (0.9, 0.6)
    assert report.ahead(first, second) == "+30.0 (+30.0 to +30.0)"
    assert report.rows_of({0: seed(0.5)}, {1: seed(0.5)}) == []
