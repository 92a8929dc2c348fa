"""YOLO, drawn as its reader draws it: coordinates cut down to whole pixels, filled by OpenCV."""

import cv2
import numpy as np
import pytest
import yaml
from export_data import full_dataset, nuclei_dataset, truth
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from storage_data import fill, make_arrays, make_spec

from labelfactory.storage import ClassInfo, InputError, create_store, finalize, open_dataset
from labelfactory.storage.exports import export


def drawn(path, height, width):
    """Number of the object of each pixel (0: none), and the class of each, as a training sees a label file."""
    objects, classes = np.zeros((height, width), np.int32), []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        kind, *values = line.split()
        corners = np.array(values, dtype=np.float32).reshape(-1, 2) * np.array([width, height], np.float32)
        assert corners.min() >= 0
        assert len(corners) >= 4  # of fewer numbers than five a line would be a box
        canvas = np.zeros((height, width), np.uint8)
        cv2.fillPoly(canvas, [corners.astype(np.int32)], 1)
        objects[canvas > 0] = number
        classes.append(int(kind))
    return objects, classes


@pytest.mark.parametrize("scale", [1, 10])
def test_people_s_masks_are_drawn_as_they_are_at_any_scale(factory, tmp_path, scale):
    dataset = nuclei_dataset(tmp_path / "set")
    result = factory("export", tmp_path / "set", "--format", "yolo", "--out", tmp_path / "out")
    assert result.code == 0, result.err
    wrong = 0
    for sample, mask in truth(dataset, "mask").items():
        objects, classes = drawn(tmp_path / f"out/labels/train/{sample:09d}.txt", 64 * scale, 64 * scale)
        found = np.array([0, *(k + 1 for k in classes)])[objects]
        wrong += (found != np.kron(np.where(mask == 255, 0, mask), np.ones((scale, scale)))).sum()
    assert wrong == 0


@settings(max_examples=30, deadline=None)
@given(
    st.tuples(st.integers(1, 20), st.integers(1, 20)).flatmap(lambda s: arrays(np.uint8, s, elements=st.integers(0, 2)))
)
def test_every_mask_is_drawn_to_the_pixel(tmp_path_factory, mask):
    """Holes, parts that touch at corners, pixels alone, pictures of any size."""
    folder = tmp_path_factory.mktemp("yolo")
    spec = make_spec(count=1, height=mask.shape[0], width=mask.shape[1], keep_quantile=1.0)
    with create_store(str(folder / "set"), spec) as store:
        store.write_shard(0, make_arrays(spec, 0) | {"mask": mask[None]})
        finalize(store)
    export(open_dataset(str(folder / "set")), "yolo", folder / "out")
    objects, classes = drawn(folder / "out/labels/train/000000000.txt", *mask.shape)
    assert np.array_equal(np.array([0, *(k + 1 for k in classes)])[objects], mask)


def test_data_yaml_names_no_folder_but_its_own(tmp_path):
    """``path`` would be taken from wherever the reader happens to be."""
    classes = tuple(
        ClassInfo(name, (i, i, i), i > 0) for i, name in enumerate(("ground", "it's", 'a: "b" \\ ü', "yes"))
    )
    fill(create_store(str(tmp_path / "set"), make_spec(classes=classes)))
    export(open_dataset(str(tmp_path / "set")), "yolo", tmp_path / "out")
    document = yaml.safe_load((tmp_path / "out/data.yaml").read_text())
    assert document == {
        "train": "images/train", "val": "images/train", "names": {0: "it's", 1: 'a: "b" \\ ü', 2: "yes"}
    }  # fmt: skip
    assert len(list((tmp_path / "out" / document["train"]).glob("*.png"))) == 9


def test_what_the_format_changes_is_said(tmp_path):
    spec = make_spec(count=2, keep_quantile=1.0, instance=True)
    mask, instance = np.zeros((2, 8, 6), np.uint8), np.zeros((2, 8, 6), np.uint16)
    mask[0, 1:3, 1:3] = mask[0, 6:8, 1:3] = 1
    instance[0, 1:3, 1:3] = instance[0, 6:8, 1:3] = 1  # one object in two parts
    mask[1, 0, :3] = 255
    with create_store(str(tmp_path / "set"), spec) as store:
        store.write_shard(0, make_arrays(spec, 0) | {"mask": mask, "instance": instance})
        finalize(store)
    report = export(open_dataset(str(tmp_path / "set")), "yolo", tmp_path / "out")
    assert report.remarks[1:] == (
        "classes left out, as YOLO segmentation has only things: background",
        "3 unlabelled pixels become background: YOLO has no word for them",
        "1 objects have several parts: each is one outline, joined by lines one pixel wide",
    )
    assert len((tmp_path / "out/labels/train/000000000.txt").read_text().splitlines()) == 1
    assert (tmp_path / "out/labels/train/000000001.txt").read_text() == ""


def test_it_needs_a_thing(tmp_path):
    stuff = tuple(ClassInfo(name, (1, 2, 3), thing=False) for name in ("a", "b"))
    fill(create_store(str(tmp_path / "set"), make_spec(classes=stuff)))
    with pytest.raises(InputError, match="only things"):
        export(open_dataset(str(tmp_path / "set")), "yolo", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_key_points_have_a_format_of_their_own(tmp_path):
    dataset = full_dataset(tmp_path / "set")
    assert "key points have a format of their own: yolo-pose" in export(dataset, "yolo", tmp_path / "seg").remarks
    export(dataset, "yolo-pose", tmp_path / "out")
    document = yaml.safe_load((tmp_path / "out/data.yaml").read_text())
    assert document == {
        "train": "images/train", "val": "images/train", "kpt_shape": [2, 3], "kpt_names": {0: ["tip", "tail"]},
        "names": {0: "object"},
    }  # fmt: skip
    size = np.array([6, 8])
    for sample, points in truth(dataset, "keypoints").items():
        [line] = (tmp_path / f"out/labels/train/{sample:09d}.txt").read_text().splitlines()
        kind, x, y, width, height, *rest = map(float, line.split())
        rows = np.reshape(rest, (2, 3))
        assert kind == 0
        np.testing.assert_allclose(rows[:, :2] * size, points[:, :2], atol=1e-4)
        assert (rows[:, 2] == 2).all()
        assert (np.abs(rows[:, :2] - (x, y)) <= np.array([width, height]) / 2 + 1e-6).all()


def test_points_that_are_not_seen(tmp_path):
    spec = make_spec(count=2, keypoints=("a", "b"), keep_quantile=1.0)
    made = make_arrays(spec, 0)
    made["keypoints"][0] = [[np.nan, np.nan, 0], [2, 3, 0.5]]
    made["keypoints"][1] = [[np.nan, np.nan, 0], [2, 9, 0.5]]  # below a picture of eight rows
    made["mask"][:] = 0
    made["mask"][0, 2:5, 1:4] = 1  # the object that the point lies on
    with create_store(str(tmp_path / "set"), spec) as store:
        store.write_shard(0, made)
        finalize(store)
    export(open_dataset(str(tmp_path / "set")), "yolo-pose", tmp_path / "out")
    numbers = [float(word) for word in (tmp_path / "out/labels/train/000000000.txt").read_text().split()]
    np.testing.assert_allclose(numbers, [0, 2.5 / 6, 3.5 / 8, 3 / 6, 3 / 8, 0, 0, 0, 2 / 6, 3 / 8, 2], atol=1e-6)
    assert (tmp_path / "out/labels/train/000000001.txt").read_text() == ""
