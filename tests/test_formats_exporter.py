"""What leaves for a labelling tool comes back unchanged: masks, "not labelled", key points; values go along."""

import base64
import io
import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from nuclei_world import NUCLEI_CLASSES
from PIL import Image

from labelfactory.errors import InputError
from labelfactory.interpreters.channels import ValueChannel
from labelfactory.interpreters.classes import name_classes
from labelfactory.interpreters.formats import WantedChannel, Work, export_labels, import_labels, import_values
from labelfactory.interpreters.formats.table import WRITERS
from labelfactory.interpreters.labelset import LabelSet, Sample


@pytest.fixture
def labels() -> LabelSet:
    rng = np.random.default_rng(0)
    blank = np.full((9, 12), 255, np.uint8)
    samples = [Sample(f"s{i}", rng.integers(0, 256, (9, 12, 3), dtype=np.uint8), blank, i) for i in range(3)]
    return LabelSet(NUCLEI_CLASSES, tuple(samples), "g", "ab" * 32)


@pytest.fixture
def masks() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    return {f"s{i}": rng.integers(0, 3, (9, 12), dtype=np.uint8) for i in range(2)}


def accepted(folder: Path) -> Path:
    """A person opens what was written and saves it as it is."""
    if (folder / "tasks.json").is_file():
        tasks = json.loads((folder / "tasks.json").read_text())
        done = [{"data": t["data"], "annotations": t.get("predictions", [])} for t in tasks]
        (folder / "tasks.json").unlink()
        (folder / "export.json").write_text(json.dumps(done))
    return folder


def test_labelme_and_back(tmp_path: Path, labels: LabelSet, masks: dict[str, np.ndarray]) -> None:
    lines = export_labels(Work(labels, masks), tmp_path / "out", "labelme")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "labels.txt", "s0.json", "s0.png", "s1.json", "s1.png", "s2.png",
    ]  # fmt: skip
    out = tmp_path / "out"
    assert lines == [f"{out}: 3 pictures, 2 with masks; open it with: labelme {out} --labels {out}/labels.txt"]
    np.testing.assert_array_equal(np.array(Image.open(tmp_path / "out" / "s2.png")), labels.samples[2].image)
    back, report = import_labels(labels, tmp_path / "out")
    assert report.unlabelled == ["s2"]
    for name, mask in masks.items():
        np.testing.assert_array_equal(next(s.mask for s in back if s.name == name), mask)


def test_label_studio_tasks_hold_pictures_predictions_and_scores(
    tmp_path: Path, labels: LabelSet, masks: dict[str, np.ndarray]
) -> None:
    export_labels(Work(labels, masks, "v7", {"s0": 0.25}), tmp_path / "out", "label-studio")
    tasks = json.loads((tmp_path / "out" / "tasks.json").read_text())
    picture = tasks[2]["data"]["image"].removeprefix("data:image/png;base64,")
    np.testing.assert_array_equal(np.array(Image.open(io.BytesIO(base64.b64decode(picture)))), labels.samples[2].image)
    assert "predictions" not in tasks[2]
    assert tasks[0]["predictions"][0]["model_version"] == "v7"
    assert tasks[0]["predictions"][0]["score"] == 0.25
    back, report = import_labels(labels, accepted(tmp_path / "out"))
    for name, mask in masks.items():
        np.testing.assert_array_equal(next(s.mask for s in back if s.name == name), mask)
    assert report.unlabelled == ["s2"]


def test_label_studio_addresses_and_existing_folders(tmp_path: Path, labels: LabelSet) -> None:
    work = Work(labels, {}, url_prefix="/data/local-files/?d=set/images/")
    export_labels(work, tmp_path / "out", "label-studio")
    tasks = json.loads((tmp_path / "out" / "tasks.json").read_text())
    assert tasks[1]["data"] == {"image": "/data/local-files/?d=set/images/s1.png", "sample": "s1"}
    for format in WRITERS:
        with pytest.raises(InputError, match="exists already"):
            export_labels(work, tmp_path / "out", format)
    with pytest.raises(InputError, match="format: 'word'; expected label-studio or labelme"):
        export_labels(work, tmp_path / "new", "word")


@pytest.mark.parametrize("format", WRITERS)
def test_key_points_and_values_go_along(tmp_path: Path, labels: LabelSet, format: str) -> None:
    points = np.array([[3.5, 4.25, 2], [0, 0, 0], [11.5, 0.5, 1]], np.float32)
    depth = np.full((9, 12, 1), np.nan, np.float32)
    depth[2:5, 3:7] = 1.5
    first, second, third = labels.samples
    samples = (first._replace(keypoints=points, values=depth), second, third)
    full = replace(
        labels, keypoints=("tip", "heel", "eye"), values=(ValueChannel("depth", "m", 0.0, 2.0),), samples=samples
    )
    lines = export_labels(Work(full, {}), tmp_path / "out", format)
    assert "3 pictures, 0 with masks and 2 key points" in lines[0]
    assert "values: depth of 1 samples, which the tool cannot draw; import-values reads the folder" in lines[1]
    bare = replace(full, values=(), samples=tuple(s._replace(keypoints=None, values=None) for s in samples))
    back, report = import_labels(bare, accepted(tmp_path / "out"))
    assert back.keypoints == full.keypoints
    np.testing.assert_allclose(back.samples[0].keypoints, points, atol=1e-5)
    assert [s.keypoints is None for s in back] == [False, True, True]
    assert report.labelled == []
    back, _ = import_values(back, tmp_path / "out" / "values", [WantedChannel.parse("depth:m:0:2")])
    np.testing.assert_array_equal(back.samples[0].values, depth)
    np.testing.assert_array_equal(
        back.samples[0].values, LabelSet.load(_saved(back, tmp_path / "set")).samples[0].values
    )


def _saved(labels: LabelSet, folder: Path) -> Path:
    labels.save(folder)
    return folder


def test_what_a_tool_offers_is_all_there_is(tmp_path: Path, labels: LabelSet) -> None:
    """Classes, "not labelled" and key points, each once a tool."""
    full = replace(labels, keypoints=("tip", "heel"))
    export_labels(Work(full, {}), tmp_path / "ls", "label-studio")
    root = ElementTree.parse(tmp_path / "ls" / "labeling_config.xml").getroot()
    regions = [*full.class_names, "__ignore__"]
    offered = [e.attrib["value"] for e in root.iter("Label")]
    assert offered == regions * 2 + ["tip", "heel"]
    assert [e.tag for e in root] == ["Image", "BrushLabels", "PolygonLabels", "KeyPointLabels"]
    export_labels(Work(full, {}), tmp_path / "lm", "labelme")
    assert sorted((tmp_path / "lm" / "labels.txt").read_text().split()) == sorted([*regions, "tip", "heel"])


MANY = name_classes(f"c{i}" for i in range(255))


@settings(deadline=None)
@given(
    data=st.data(),
    format=st.sampled_from(list(WRITERS)),
    count=st.sampled_from([1, 2, 3, 9, 12, 255]),
    shape=array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9),
)
def test_any_mask_comes_back(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, format: str, count: int, shape: tuple[int, int]
) -> None:
    """All ids, unlabelled pixels, all background, one pixel objects, odd sizes."""
    values = st.sampled_from([*range(count), 255])
    mask = data.draw(arrays(np.uint8, shape, elements=values, fill=st.just(0) | values))
    image = np.zeros((*shape, 1), np.uint8)
    labels = LabelSet(MANY[:count], (Sample("s", image, np.full_like(mask, 255), 1),), "g", "ab" * 32)
    out = tmp_path_factory.mktemp("x") / "out"
    export_labels(Work(labels, {"s": mask}), out, format)
    back, _ = import_labels(labels, accepted(out))
    np.testing.assert_array_equal(back.samples[0].mask, mask)
