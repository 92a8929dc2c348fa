"""What leaves for a labelling tool comes back unchanged."""

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from labelfactory.errors import InputError
from labelfactory.interpreters.formats import export_label_studio, export_labelme, import_labels
from labelfactory.interpreters.labelset import NUCLEI_CLASSES, LabelSet, Sample


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


def test_labelme_and_back(tmp_path: Path, labels: LabelSet, masks: dict[str, np.ndarray]) -> None:
    export_labelme(labels, tmp_path / "out", masks)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "labels.txt", "s0.json", "s0.png", "s1.json", "s1.png", "s2.png",
    ]  # fmt: skip
    np.testing.assert_array_equal(np.array(Image.open(tmp_path / "out" / "s2.png")), labels.samples[2].image)
    back, report = import_labels(labels, tmp_path / "out")
    assert report.unlabelled == ["s2"]
    for name, mask in masks.items():
        np.testing.assert_array_equal(next(s.mask for s in back if s.name == name), mask)


def test_label_studio_tasks_hold_pictures_predictions_and_scores(
    tmp_path: Path, labels: LabelSet, masks: dict[str, np.ndarray]
) -> None:
    export_label_studio(labels, tmp_path / "out", masks, model_version="v7", scores={"s0": 0.25})
    tasks = json.loads((tmp_path / "out" / "tasks.json").read_text())
    picture = tasks[2]["data"]["image"].removeprefix("data:image/png;base64,")
    np.testing.assert_array_equal(np.array(Image.open(io.BytesIO(base64.b64decode(picture)))), labels.samples[2].image)
    assert "predictions" not in tasks[2]
    assert tasks[0]["predictions"][0]["model_version"] == "v7"
    assert tasks[0]["predictions"][0]["score"] == 0.25
    accepted = [{"data": t["data"], "annotations": t.get("predictions", [])} for t in tasks]
    (tmp_path / "export.json").write_text(json.dumps(accepted))
    back, _ = import_labels(labels, tmp_path / "export.json")
    for name, mask in masks.items():
        np.testing.assert_array_equal(next(s.mask for s in back if s.name == name), mask)


def test_label_studio_addresses_and_existing_folders(tmp_path: Path, labels: LabelSet) -> None:
    export_label_studio(labels, tmp_path / "out", {}, url_prefix="/data/local-files/?d=set/images/")
    tasks = json.loads((tmp_path / "out" / "tasks.json").read_text())
    assert tasks[1]["data"] == {"image": "/data/local-files/?d=set/images/s1.png", "sample": "s1"}
    with pytest.raises(InputError, match="exists already"):
        export_label_studio(labels, tmp_path / "out", {})
    with pytest.raises(InputError, match="exists already"):
        export_labelme(labels, tmp_path / "out", {})
