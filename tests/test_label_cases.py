"""What people's files looked like when labels were lost or silently wrong: the command, and what is right."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import Factory
from nuclei_world import NUCLEI_CLASSES
from PIL import Image

from labelfactory.interpreters.classes import OKABE_ITO, LabelClass, new_colors
from labelfactory.interpreters.labelset import LabelSet, Sample

H, W = 48, 64
BLANK = np.full((H, W), 255, np.uint8)


def label_set(folder: Path, mask: np.ndarray = BLANK, classes: tuple[LabelClass, ...] = NUCLEI_CLASSES) -> Path:
    sample = Sample("a", np.zeros((H, W, 3), np.uint8), mask, 1)
    LabelSet(classes, (sample,), "builtin:nuclei64", "1" * 64).save(folder)
    return folder


def drawing(folder: Path, *shapes: dict[str, Any]) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "a.json").write_text(json.dumps({"shapes": shapes, "imageHeight": H, "imageWidth": W}))
    return folder


def box(label: str, left: int, top: int, right: int, bottom: int) -> dict[str, Any]:
    return {"label": label, "shape_type": "rectangle", "points": [[left, top], [right, bottom]]}


@pytest.fixture
def mask() -> np.ndarray:
    """Something of every class and something unlabelled."""
    out = np.zeros((H, W), np.uint8)
    out[5:25, 5:30], out[20:40, 30:60], out[:4, :40] = 1, 2, 255
    return out


@pytest.mark.parametrize("linked", [False, True])
def test_a_label_set_in_which_somebody_works(tmp_path: Path, factory: Factory, linked: bool) -> None:
    """Notes, version control and the drawings themselves lie in it; or it is a link to another disk."""
    home = label_set(tmp_path / "labels")
    drawing(home / "work", box("nucleus", 1, 1, 30, 30))
    (home / ".git").mkdir()
    for name, text in (("notes.txt", "mine"), (".git/HEAD", "ref: refs/heads/main"), ("inversion.json", "[]")):
        (home / name).write_text(text)
    before = {p.relative_to(home): p.read_bytes() for p in home.rglob("*") if p.is_file()}
    given = tmp_path / "link"
    if linked:
        given.symlink_to(home)
    else:
        given = home
    result = factory("import-labels", "--labels", given, "--source", given / "work")
    assert (result.code, result.err) == (0, "")
    own = {Path("labelset.json"), Path("masks/a.png")}
    for path, content in before.items():
        assert path in own or (home / path).read_bytes() == content
    assert given.is_symlink() == linked
    assert (LabelSet.load(home).samples[0].mask == 1).sum() == 29 * 29


def test_masks_of_0_and_255(tmp_path: Path, factory: Factory) -> None:
    two, three = (label_set(tmp_path / str(n), classes=NUCLEI_CLASSES[:n]) for n in (2, 3))
    (tmp_path / "src").mkdir()
    foreground = np.zeros((H, W), np.uint8)
    foreground[10:33, 7:57] = 255
    Image.fromarray(foreground).save(tmp_path / "src" / "a.png")
    command = ("import-labels", "--source", tmp_path / "src", "--labels")
    result = factory(*command, three, "--map", "255=nucleus", "--out", tmp_path / "x")
    assert (result.code, result.err) == (0, "")
    np.testing.assert_array_equal(LabelSet.load(tmp_path / "x").samples[0].mask, foreground // 255)
    result = factory(*command, two, "--out", tmp_path / "y")
    assert "255 is read as 'nucleus'" in result.out
    np.testing.assert_array_equal(LabelSet.load(tmp_path / "y").samples[0].mask, foreground // 255)
    result = factory(*command, three, "--out", tmp_path / "z")
    assert result.code == 2
    assert "255 may be a class or 'not labelled'" in result.err
    assert not (tmp_path / "z").exists()
    assert factory(*command, two, "--map", "255=ignore", "--out", tmp_path / "v").code == 0
    np.testing.assert_array_equal(LabelSet.load(tmp_path / "v").samples[0].mask, foreground)


def test_ten_classes_have_ten_colours(tmp_path: Path, factory: Factory, tiny_checkpoint: Path) -> None:
    names = [f"class {i}" for i in range(10)]
    result = factory(
        "sample", "--generator", tiny_checkpoint, "--classes", ",".join(names), "--count", 1, "--candidates", 4,
        "--strategy", "random", "--device", "cpu", "--out", tmp_path / "ten",
    )  # fmt: skip
    assert result.code == 0, result.err
    assert [c.color for c in LabelSet.load(tmp_path / "ten").classes] == list(new_colors(10))
    old = tuple(LabelClass(n, OKABE_ITO[i % 8]) for i, n in enumerate(names))  # as version 0.1.0 made them
    label_set(tmp_path / "labels", classes=old)
    (tmp_path / "src").mkdir()
    Image.fromarray(np.full((H, W, 3), OKABE_ITO[1], np.uint8)).save(tmp_path / "src" / "a.png")
    command = ("import-labels", "--labels", tmp_path / "labels", "--source", tmp_path / "src", "--out", tmp_path / "x")
    result = factory(*command)
    assert result.code == 2
    assert "#e69f00 is the colour of 'class 1' and 'class 9'" in result.err
    assert factory(*command, "--map", "#e69f00=class 9").code == 0
    assert (LabelSet.load(tmp_path / "x").samples[0].mask == 9).all()


@pytest.mark.parametrize("tool", ["label-studio", "labelme"])
def test_not_labelled_survives_a_tool(tmp_path: Path, factory: Factory, mask: np.ndarray, tool: str) -> None:
    labels = label_set(tmp_path / "labels", mask)
    assert factory("export-labels", "--labels", labels, "--format", tool, "--out", tmp_path / "out").code == 0
    source = tmp_path / "out"
    if tool == "label-studio":
        assert '<Label value="__ignore__"' in (source / "labeling_config.xml").read_text()
        tasks = json.loads((source / "tasks.json").read_text())
        submitted = [t | {"annotations": [{"result": p["result"]} for p in t.pop("predictions")]} for t in tasks]
        source = tmp_path / "submitted.json"
        source.write_text(json.dumps(submitted))
    result = factory("import-labels", "--labels", labels, "--source", source, "--out", tmp_path / "x")
    assert (result.code, result.err) == (0, "")
    np.testing.assert_array_equal(LabelSet.load(tmp_path / "x").samples[0].mask, mask)


@pytest.mark.parametrize("ignoring", [("--map", "scale=ignore"), ("--unknown", "ignore")])
def test_a_scale_bar_stops_nothing_where_it_is_ignored(
    tmp_path: Path, factory: Factory, ignoring: tuple[str, str]
) -> None:
    labels = label_set(tmp_path / "labels")
    bar = {"label": "scale", "shape_type": "line", "points": [[1, 40], [9, 40]]}
    source = drawing(tmp_path / "src", box("nucleus", 1, 1, 30, 30), bar)
    command = ("import-labels", "--labels", labels, "--source", source, "--out", tmp_path / "x")
    result = factory(*command, *ignoring)
    assert (result.code, result.err) == (0, "")
    assert "('scale'): left out, as its label is ignored" in result.out
    found = LabelSet.load(tmp_path / "x").samples[0].mask
    assert ((found == 1).sum(), (found == 0).sum()) == (29 * 29, H * W - 29 * 29)


def test_a_shape_that_later_ones_cover_is_reported(tmp_path: Path, factory: Factory) -> None:
    labels = label_set(tmp_path / "labels")
    source = drawing(tmp_path / "src", box("nucleus", 10, 10, 20, 20), box("neighbour", 5, 5, 40, 40))
    result = factory("import-labels", "--labels", labels, "--source", source, "--out", tmp_path / "x")
    assert result.code == 0
    assert "shapes[0] ('nucleus'): wholly covered by later shapes" in result.out


def test_an_emptied_drawing_and_negative_pictures(tmp_path: Path, factory: Factory, mask: np.ndarray) -> None:
    labels = label_set(tmp_path / "labels", mask)
    command = ("import-labels", "--labels", labels, "--source", drawing(tmp_path / "src"))
    result = factory(*command, "--out", tmp_path / "x")
    assert "the labels of a are removed" in result.out
    assert (LabelSet.load(tmp_path / "x").samples[0].mask == 255).all()
    assert factory(*command, "--empty", "background", "--out", tmp_path / "y").code == 0
    assert (LabelSet.load(tmp_path / "y").samples[0].mask == 0).all()


def test_masks_drawn_on_a_turned_photograph_fit(tmp_path: Path, factory: Factory, tiny_checkpoint: Path) -> None:
    """A camera held upright stores rows as columns and says so; people draw on what they see."""
    shown = np.zeros((16, 16), np.uint8)
    shown[:5, :9] = 200
    (tmp_path / "photos").mkdir()
    exif = Image.Exif()
    exif[0x112] = 6
    Image.fromarray(np.ascontiguousarray(np.rot90(shown))).save(tmp_path / "photos" / "a.png", exif=exif)
    source = tmp_path / "masks"
    source.mkdir()
    Image.fromarray((shown > 100).astype(np.uint8)).save(source / "a.png")
    result = factory(
        "invert", "--generator", tiny_checkpoint, "--images", tmp_path / "photos", "--masks", source, "--classes",
        "dark,bright", "--steps", 1, "--encoder-steps", 0, "--keep-poor", "--device", "cpu", "--out", tmp_path / "x",
    )  # fmt: skip
    assert result.code == 0, result.err
    [sample] = LabelSet.load(tmp_path / "x")
    np.testing.assert_array_equal(sample.image[..., 0], shown)
    np.testing.assert_array_equal(sample.mask, shown > 100)
