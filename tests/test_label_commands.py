"""The way of a person's labels on the command line: sample, export, label, import."""

import json
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from labelfactory.factory.generator import ImageGenerator
from labelfactory.flows.commands.export_labels import export_labels
from labelfactory.flows.commands.import_labels import import_labels
from labelfactory.flows.commands.sample import sample
from labelfactory.interpreters import StyleInterpreter
from labelfactory.interpreters.labelset import LabelSet
from labelfactory.interpreters.pictures import read_image


def run(*arguments: object) -> str:
    app = typer.Typer()
    for command in (sample, export_labels, import_labels):
        app.command(name=command.__name__.replace("_", "-"))(command)
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    if result.exception is not None:
        raise result.exception
    return result.output


@pytest.fixture
def label_set(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    out = tmp_path / "set"
    text = run(
        "sample", "--generator", tiny_checkpoint, "--out", out, "--count", 3, "--candidates", 8,
        "--classes", "background, nucleus", "--device", "cpu",
    )  # fmt: skip
    assert "3 images to label, 3 in all; classes background, nucleus" in text
    return out


def test_sample_export_label_import(label_set: Path, tmp_path: Path) -> None:
    assert (label_set / "contact_sheet.png").is_file()
    names = [s.name for s in LabelSet.load(label_set)]
    text = run("export-labels", "--labels", label_set, "--out", tmp_path / "tool", "--format", "labelme")
    assert "3 pictures, 0 with masks" in text
    shape = {"label": "Nucleus", "points": [[4, 4], [10, 4], [10, 10]], "shape_type": "polygon"}
    (tmp_path / "tool" / f"{names[1]}.json").write_text(json.dumps({"shapes": [shape]}))
    text = run("import-labels", "--labels", label_set, "--source", tmp_path / "tool")
    assert "1 samples labelled, 2 without labels" in text
    labels = LabelSet.load(label_set)
    assert labels.class_names == ("background", "nucleus")
    assert [s.labelled for s in labels] == [False, True, False]
    assert read_image(label_set / "preview.png").shape[1] > 32
    text = run("export-labels", "--labels", label_set, "--out", tmp_path / "ls")
    assert "3 pictures, 1 with masks" in text


def test_refused_labels_change_nothing(label_set: Path, tmp_path: Path) -> None:
    before = {p: p.read_bytes() for p in label_set.rglob("*") if p.is_file()}
    names = [s.name for s in LabelSet.load(label_set)]
    masks = tmp_path / "masks"
    masks.mkdir()
    Image.fromarray(np.ones((16, 16), np.uint8)).save(masks / f"{names[0]}.png")
    Image.fromarray(np.full((16, 16), 9, np.uint8)).save(masks / f"{names[1]}.png")
    with pytest.raises(ValueError, match="no class for '9'"):
        run("import-labels", "--labels", label_set, "--source", masks)
    with pytest.raises(ValueError, match="expected LABEL=CLASS"):
        run("import-labels", "--labels", label_set, "--source", masks, "--map", "9")
    with pytest.raises(ValueError, match="unknown 'keep': expected one of refuse"):
        run("import-labels", "--labels", label_set, "--source", masks, "--unknown", "keep")
    assert {p: p.read_bytes() for p in label_set.rglob("*") if p.is_file()} == before
    run("import-labels", "--labels", label_set, "--source", masks, "--map", "9=ignore", "--out", tmp_path / "new")
    assert [len(np.unique(s.mask)) for s in LabelSet.load(tmp_path / "new")] == [1, 1, 1]
    assert {p: p.read_bytes() for p in label_set.rglob("*") if p.is_file()} == before


def test_active_learning_round(
    label_set: Path, tiny_generator: ImageGenerator, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    model = StyleInterpreter(tiny_generator.feature_channels, 2, members=2)
    model.generator_sha256 = tiny_generator.sha256
    model.classes = [{"name": n, "color": [0, 0, 0]} for n in ("background", "nucleus")]
    model.save(tmp_path / "i.safetensors")
    text = run(
        "sample", "--generator", tiny_checkpoint, "--out", tmp_path / "more", "--count", 2, "--candidates", 8,
        "--strategy", "uncertain", "--interpreter", tmp_path / "i.safetensors", "--labels", label_set,
    )  # fmt: skip
    assert "2 images to label, 5 in all" in text
    text = run(
        "export-labels", "--labels", tmp_path / "more", "--out", tmp_path / "tasks",
        "--interpreter", tmp_path / "i.safetensors", "--url-prefix", "http://example.org/",
    )  # fmt: skip
    assert "5 pictures, 5 with masks" in text
    tasks = json.loads((tmp_path / "tasks" / "tasks.json").read_text())
    assert all(0 <= t["predictions"][0]["score"] <= np.log(2) for t in tasks)


def test_classes_have_to_be_named_for_an_unknown_generator(tiny_checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="classes: name what you will label"):
        run("sample", "--generator", tiny_checkpoint, "--out", tmp_path / "set")
    with pytest.raises(ValueError, match="exists already"):
        run("sample", "--generator", tiny_checkpoint, "--out", tmp_path, "--classes", "a,b")
