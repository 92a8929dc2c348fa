"""The downstream study end to end in miniature: every method, resumed in pieces, and its tables."""

import importlib.util
import io
import json
import sys
import zipfile
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from disc_world import discs
from PIL import Image

from labelfactory.errors import InputError

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def study(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    spec = importlib.util.spec_from_file_location("downstream_study", BENCHMARKS / "downstream.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


def write_split(folder: Path, split: str, n: int, seed: int) -> None:
    """Discs as nuclei64 has its crops: two zips, object numbers, and which picture a crop is from."""

    def png(array: np.ndarray) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(array).save(buffer, "PNG")
        return buffer.getvalue()

    with (
        zipfile.ZipFile(folder / f"{split}_images.zip", "w") as images,
        zipfile.ZipFile(folder / f"{split}_instances.zip", "w") as masks,
    ):
        for i, pair in enumerate(discs(n, seed=seed)):
            numbers = pair.mask.copy()
            numbers[:2, :2] = 2 + i % 3  # a neighbour
            images.writestr(f"img{i}.png", png(pair.image[..., 0]))
            masks.writestr(f"img{i}.png", png(numbers))
        images.writestr("source.json", json.dumps({f"img{i}.png": f"slide{i // 2}" for i in range(n)}))


@pytest.mark.long
def test_all_methods_in_pieces(
    study: ModuleType, tmp_path: Path, tiny_checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_split(tmp_path, "train", 12, 0)
    write_split(tmp_path, "val", 6, 1)
    out = tmp_path / "study"
    arguments = ["--data", str(tmp_path), "--generator", str(tiny_checkpoint), "--out", str(out), "--labels", "4"]
    arguments += ["--seeds", "0", "--steps", "4", "--batch-size", "4", "--pairs", "20", "--inversion-steps", "2"]
    arguments += ["--encoder-steps", "2", "--min-fidelity", "-1000", "--device", "cpu"]
    arguments += ["--network-options", '{"width": 4, "depth": 2}']

    study.main([*arguments, "--minutes", "0"])
    assert "minutes are over" in capsys.readouterr().out
    assert not (out / "table.md").exists()
    study.main([*arguments, "--only", "upper"])
    assert (out / "cells" / "upper_all_s0.json").exists()
    study.main(arguments)
    cells = {p.stem: json.loads(p.read_text()) for p in (out / "cells").glob("*.json")}
    assert len(cells) == len(study.main_cells((4,), (0,)) + study.variants((4,), (0,))) == 18
    assert cells["factory_n04_s0"]["agreement_with_upper"] is not None
    semi, self_trained = "refined+mean-teacher_n04_s0", "self-trained_n04_s0_consistency5.0_teachers3"
    for name in ("refined_n04_s0", f"{semi}_consistency5.0", f"{semi}_consistency5.0_teachers3", self_trained):
        assert cells[name]["agreement_refined"] is not None
    kept = {p.name for p in (out / "segmenters").iterdir()}
    assert {"factory+real_n04_s0.safetensors", *(f"factory+real_n04_s0_{k}.safetensors" for k in (1, 2))} <= kept
    assert list(cells["real_n04_s0"]["miou_by_step"]) == ["1", "2", "3", "4"]
    table = (out / "table.md").read_text()
    assert "| 4 | " in table
    assert "lost to the generator" in table
    assert (out / "table.png").stat().st_size > 1000
    assert len(json.loads((out / "table.json").read_text())) == 18

    with pytest.raises(InputError, match=r"steps 4 there, 5 now.*another --out"):
        study.main([*arguments, "--seeds", "0,1", "--steps", "5"])
    done = (out / "cells" / "real_n04_s0.json").stat().st_mtime_ns
    study.main([*arguments, "--list"])
    assert capsys.readouterr().out.count("done  ") >= 18
    study.main(arguments)
    assert (out / "cells" / "real_n04_s0.json").stat().st_mtime_ns == done


def test_what_labels_lose_is_told_apart(
    study: ModuleType, tmp_path: Path, tiny_checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_split(tmp_path, "train", 6, 0)
    write_split(tmp_path, "val", 2, 1)
    labels = importlib.import_module("downstream_labels")
    arguments = ["--data", str(tmp_path), "--generator", str(tiny_checkpoint), "--out", str(tmp_path / "study")]
    arguments += ["--labels", "2", "--seeds", "0", "--steps", "2", "--batch-size", "2", "--inversion-steps", "1"]
    arguments += ["--encoder-steps", "1", "--min-fidelity", "-1000", "--device", "cpu", "--amplify", "none"]
    arguments += ["--pairs", "200", "--network-options", '{"width": 4, "depth": 2}']
    labels.main(arguments)
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| 2 |")]
    assert len(rows) == 5
    assert len(set(rows)) == 5
    (tmp_path / "study" / "labels" / "n02_s0_4.npz").unlink()
    kept = (tmp_path / "study" / "labels" / "n02_s0_0.npz").stat().st_mtime_ns
    labels.main(arguments)
    assert [line for line in capsys.readouterr().out.splitlines() if line.startswith("| 2 |")] == rows
    assert (tmp_path / "study" / "labels" / "n02_s0_0.npz").stat().st_mtime_ns == kept


def test_chosen_labels_are_nested_and_from_different_pictures(
    study: ModuleType, tmp_path: Path, tiny_checkpoint: Path
) -> None:
    write_split(tmp_path, "train", 12, 0)
    write_split(tmp_path, "val", 2, 1)
    one = study.Study(
        study.parse(
            [
                "--data",
                str(tmp_path),
                "--out",
                str(tmp_path / "out"),
                "--device",
                "cpu",
                "--generator",
                str(tiny_checkpoint),
            ]
        )
    )
    few, more = one.chosen(4, 0), one.chosen(8, 0)
    assert few.names == more.names[:4]
    assert len(set(more.groups[:6])) == 6
    assert one.chosen(4, 1).names != few.names
    assert set(np.unique(more.masks)) == {0, 1, 2}


def test_gap_closed_and_baseline_choice_by_hand(study: ModuleType) -> None:
    report = sys.modules["downstream_report"]

    def row(method: str, miou: float, labels: int = 4, **changed: Any) -> tuple[tuple, object]:
        cell = asdict(study.Cell(method, labels, 0, **changed))
        key = tuple((k, v) for k, v in cell.items() if k != "seed")
        return key, report.Row(key, [{"miou": miou, "iou": [miou] * 3}], np.array([miou - 0.01, miou + 0.01]))

    rows = dict([row("real", 0.6), row("upper", 0.9, 0), row("factory", 0.8)])
    rows |= dict([row("mean-teacher", 0.7, consistency=1.0), row("mean-teacher", 0.65, consistency=5.0)])
    best = report.pick(rows, "mean-teacher", 4)
    assert best.miou == 0.7
    best.results.append({"miou": 0.3, "iou": [0.3] * 3})  # a second seed: now 0.5 on average, but the only full row
    assert report.pick(rows, "mean-teacher", 4) is best
    best.results.pop()
    share, low, high = report.gap_closed(
        *(report.pick(rows, m, n) for m, n in (("factory", 4), ("real", 4), ("upper", 0)))
    )
    assert (share, low, high) == pytest.approx((2 / 3, 2 / 3, 2 / 3))
    assert "67 %" in "\n".join(report.main_table(rows))
    rows |= dict([row("self-trained", 0.85, consistency=5.0, teachers=3)])
    assert report.pick(rows, "self-trained", 4) is None
    assert report.best_of_ours(rows, 4).miou == 0.85
    assert "83 %" in "\n".join(report.main_table(rows))


def test_families_side_by_side(
    study: ModuleType, tmp_path: Path, tiny_checkpoint: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    """A diffusion model labels the val crops itself and makes pairs from photographs that nothing inverts."""
    pytest.importorskip("diffusers")
    from test_diffusion import save_model

    monkeypatch.setattr("labelfactory.factory.diffusion.family.STEPS", 2)
    write_split(tmp_path, "train", 6, 0)
    write_split(tmp_path, "val", 3, 1)
    families = importlib.import_module("generators")
    side = discs(1, seed=0)[0].mask.shape[0]
    model = save_model(tmp_path / "model", sample_size=side)
    few = ["--data", str(tmp_path), "--labels", "2", "--seeds", "0", "--steps", "2", "--batch-size", "2"]
    few += ["--device", "cpu", "--amplify", "none", "--pairs", "8", "--network-options", '{"width": 4, "depth": 2}']
    families.main([*few, "--generator", str(model), "--out", str(tmp_path / "ddpm")])
    shown = capsys.readouterr().out
    assert [line for line in shown.splitlines() if line.startswith(("| features | 2 | 0 |", "| factory | 2 | 0 |"))]
    kept = json.loads((tmp_path / "ddpm" / "cells" / "features_n02_s0.json").read_text())
    assert 0 < kept["miou"] <= 1
    made = (tmp_path / "ddpm" / "cells" / "factory_n02_s0.json").stat().st_mtime_ns
    families.main([*few, "--generator", str(model), "--out", str(tmp_path / "ddpm")])
    assert (tmp_path / "ddpm" / "cells" / "factory_n02_s0.json").stat().st_mtime_ns == made
    families.main([*few, "--generator", str(model), "--out", str(tmp_path / "ddpm"), "--time"])
    assert "ms of one core a pair" in capsys.readouterr().out
    with pytest.raises(InputError, match="does not look at photographs; leave features out"):
        families.main([*few, "--generator", str(tiny_checkpoint), "--out", str(tmp_path / "gan")])
