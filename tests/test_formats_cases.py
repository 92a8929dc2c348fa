"""What people's files looked like when imports went wrong: the command, and the labels that are right."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import Factory
from nuclei_world import NUCLEI_CLASSES
from PIL import Image

from labelfactory.interpreters.labelset import LabelSet, Sample
from labelfactory.interpreters.pictures import save_mask

H, W = 48, 64
TRIANGLE = {"points": [[5, 5], [30, 5], [30, 30]], "polygonlabels": ["nucleus"]}
REGION = {"type": "polygonlabels", "original_width": W, "original_height": H, "image_rotation": 0, "value": TRIANGLE}


def triangle() -> np.ndarray:
    """Its pixels: x from 5 % of 64, y from 5 % of 48, above the diagonal."""
    y, x = np.mgrid[:H, :W] + 0.5
    across, down = (x / W * 100 - 5) / 25, (y / H * 100 - 5) / 25
    return ((across > down) & (across < 1) & (down > 0)).astype(np.uint8)


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    sample = Sample("a", np.zeros((H, W, 3), np.uint8), np.full((H, W), 255, np.uint8), 1)
    LabelSet(NUCLEI_CLASSES, (sample,), "builtin:nuclei64", "1" * 64).save(tmp_path / "labels")
    return tmp_path / "labels"


def label_studio(image: str, *results: Any) -> str:
    return json.dumps([{"data": {"image": image}, "annotations": [{"result": list(results)}]}])


def relation(folder: Path) -> Path:
    arrow = {"from_id": "p1", "to_id": "p1", "type": "relation", "direction": "right"}
    (folder / "p.json").write_text(label_studio("/data/upload/1/0a1b2c3d-a.png", REGION | {"id": "p1"}, arrow))
    return folder / "p.json"


def no_size(folder: Path) -> Path:
    point = {"type": "keypointlabels", "value": {"x": 46.2, "y": 41, "keypointlabels": ["Point1"]}}
    (folder / "p.json").write_text(label_studio("a.png", REGION, point))
    return folder / "p.json"


def coco_with_prefix(folder: Path) -> Path:
    corners = [v for x, y in TRIANGLE["points"] for v in (x * W / 100, y * H / 100)]
    data = {
        "categories": [{"id": 0, "name": "nucleus"}],
        "images": [{"id": 0, "file_name": "images/0a1b2c3d-a.png", "width": W, "height": H}],
        "annotations": [{"id": 0, "image_id": 0, "category_id": 0, "segmentation": [corners], "iscrowd": 0}],
    }
    (folder / "result.json").write_text(json.dumps(data))
    return folder / "result.json"


def zip_of_a_mac(folder: Path) -> Path:
    save_mask(folder / "a.png", triangle(), NUCLEI_CLASSES)
    with zipfile.ZipFile(folder / "masks.zip", "w") as archive:
        archive.write(folder / "a.png", "masks/a.png")
        archive.writestr("__MACOSX/masks/._a.png", b"\0\5\26\7" + bytes(20))
        archive.writestr("masks/.DS_Store", b"\0")
    return folder / "masks.zip"


def capitals(folder: Path) -> Path:
    (folder / "src").mkdir()
    save_mask(folder / "src" / "a.PNG", triangle(), NUCLEI_CLASSES)
    return folder / "src"


def bits(folder: Path) -> Path:
    (folder / "src").mkdir()
    Image.fromarray(triangle().astype(bool)).save(folder / "src" / "a.tif")
    return folder / "src"


@pytest.mark.parametrize("make", [relation, no_size, coco_with_prefix, zip_of_a_mac, capitals, bits])
def test_the_command_reads_it_right(
    tmp_path: Path, labels: Path, factory: Factory, make: Callable[[Path], Path]
) -> None:
    source = make(tmp_path)
    result = factory("import-labels", "--labels", labels, "--source", source, "--out", tmp_path / "x")
    assert (result.code, result.err) == (0, "")
    [sample] = LabelSet.load(tmp_path / "x")
    np.testing.assert_array_equal(sample.mask, triangle())
    assert "nucleus -> nucleus: " in result.out
    if make is no_size:
        assert sample.keypoints is not None
        np.testing.assert_allclose(sample.keypoints, [[0.462 * W, 0.41 * H, 2]], rtol=1e-6)
