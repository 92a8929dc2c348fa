"""A label set on disk: what is written comes back, what is wrong is refused by name."""

import contextlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nuclei_world import NUCLEI_CLASSES
from PIL import Image

from labelfactory.errors import InputError, WorkError
from labelfactory.interpreters.channels import ValueChannel
from labelfactory.interpreters.classes import LabelClass
from labelfactory.interpreters.crop import Crop
from labelfactory.interpreters.labelset import LabelSet, Sample

SHA = "ab" * 32


def make(n: int = 3, channels: int = 1, size: tuple[int, int] = (8, 6)) -> LabelSet:
    rng = np.random.default_rng(0)
    samples = []
    for i in range(n):
        mask = rng.integers(0, 3, size, dtype=np.uint8)
        mask[0, 0] = 255
        origin = 2**64 - 1 - i if i % 2 == 0 else rng.standard_normal((4, 5)).astype(np.float32)
        samples.append(Sample(f"s{i:03d}", rng.integers(0, 256, (*size, channels), dtype=np.uint8), mask, origin))
    return LabelSet(NUCLEI_CLASSES, tuple(samples), "builtin:nuclei64", SHA, 0.7)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make().save(tmp_path / "set")
    return tmp_path / "set"


def edit(folder: Path, **changes: object) -> None:
    data = json.loads((folder / "labelset.json").read_text())
    (folder / "labelset.json").write_text(json.dumps(data | changes))


@pytest.mark.parametrize("channels", [1, 3])
def test_round_trip(tmp_path: Path, channels: int) -> None:
    labels = make(channels=channels)
    labels.save(tmp_path / "deep" / "set")
    again = LabelSet.load(tmp_path / "deep" / "set")
    assert again.classes == labels.classes
    assert (again.generator_uri, again.generator_sha256, again.truncation) == ("builtin:nuclei64", SHA, 0.7)
    for a, b in zip(again, labels, strict=True):
        name, image, mask, origin, keypoints, values, condition, drawn, restored_by = a
        assert name == b.name
        np.testing.assert_array_equal(image, b.image)
        np.testing.assert_array_equal(mask, b.mask)
        np.testing.assert_array_equal(origin, b.origin)
        assert keypoints is None
        assert values is None
        assert condition is None
        assert drawn is None
        assert restored_by == ""
    assert again.content_sha256 == labels.content_sha256
    assert [s.seed is None for s in again] == [False, True, False]
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["set"]


def test_masks_are_indexed_png_in_the_class_colours(folder: Path) -> None:
    image = Image.open(folder / "masks" / "s000.png")
    assert image.mode == "P"
    rgb = np.array(image.convert("RGB"))
    mask = make().samples[0].mask
    assert tuple(rgb[0, 0]) == (128, 128, 128)  # not labelled
    y, x = np.argwhere(mask == 1)[0]
    assert tuple(rgb[y, x]) == NUCLEI_CLASSES[1].color


def test_content_hash_follows_labels_only() -> None:
    labels = make()
    first = labels.samples[0]
    mask = first.mask.copy()
    mask[1, 1] = (mask[1, 1] + 1) % 3
    rest = labels.samples[1:]

    def variant(sample: Sample, **fields: object) -> str:
        base = {"generator_uri": "elsewhere", "generator_sha256": SHA, "truncation": 0.7} | fields
        return LabelSet(NUCLEI_CLASSES, (sample, *rest), **base).content_sha256

    assert variant(first) == labels.content_sha256
    assert variant(first._replace(image=255 - first.image)) == labels.content_sha256
    assert variant(first._replace(mask=mask)) != labels.content_sha256
    assert variant(first._replace(origin=7)) != labels.content_sha256
    assert variant(first, truncation=0.6) != labels.content_sha256
    assert variant(first, generator_sha256="cd" * 32) != labels.content_sha256


def test_unlabelled_samples_are_left_out_by_labelled() -> None:
    labels = make()
    blank = labels.samples[0]._replace(name="blank", mask=np.full((8, 6), 255, np.uint8))
    both = LabelSet(NUCLEI_CLASSES, (*labels.samples, blank), "g", SHA)
    assert len(both) == 4
    assert [s.name for s in both.labelled] == ["s000", "s001", "s002"]


def test_another_generator_is_refused() -> None:
    make().check_generator(SHA)
    with pytest.raises(InputError, match=r"builtin:nuclei64.*abab.*cdcd"):
        make().check_generator("cd" * 32)


def test_existing_folder_is_kept_unless_overwriting_is_allowed(folder: Path) -> None:
    with pytest.raises(InputError, match="exists already"):
        make(2).save(folder)
    assert len(LabelSet.load(folder)) == 3
    make(2).save(folder, overwrite=True)
    assert len(LabelSet.load(folder)) == 2
    assert [p.name for p in folder.parent.iterdir()] == ["set"]


def test_foreign_folder_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match=r"has no labelset\.json, so it is something else"):
        make().save(tmp_path, overwrite=True)
    assert (tmp_path / "thesis.txt").exists()


def test_a_failed_write_leaves_the_old_set_and_nothing_else(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("labelfactory.interpreters.labelset_writer.save_mask", full_disk)
    with pytest.raises(WorkError, match=r"No space.*it is as it was"):
        make(2).save(folder, overwrite=True)
    with pytest.raises(WorkError, match=r"No space.*nothing is left behind"):
        make(2).save(folder.parent / "new")
    assert [p.name for p in folder.parent.iterdir()] == ["set"]
    assert len(LabelSet.load(folder)) == 3


def test_missing_folder_and_files(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        LabelSet.load(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"has no labelset\.json"):
        LabelSet.load(folder / "images")
    (folder / "masks" / "s001.png").unlink()
    with pytest.raises(InputError, match=r"masks/s001\.png: no such file"):
        LabelSet.load(folder)


def test_latent_that_is_missing_or_a_pickle(folder: Path) -> None:
    np.save(folder / "latents" / "s001.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match=r"s001\.npy: cannot be read as an array"):
        LabelSet.load(folder)
    (folder / "latents" / "s001.npy").unlink()
    with pytest.raises(InputError, match=r"s001\.npy"):
        LabelSet.load(folder)


def test_masks_that_do_not_fit(folder: Path) -> None:
    target = folder / "masks" / "s001.png"
    Image.fromarray(np.zeros((6, 8), np.uint8)).save(target)
    with pytest.raises(InputError, match=r"'s001'.*mask is 8 x 6.*image is 6 x 8"):
        LabelSet.load(folder)
    Image.fromarray(np.full((8, 6), 3, np.uint8)).save(target)
    with pytest.raises(InputError, match=r"'s001'.*class id 3"):
        LabelSet.load(folder)
    Image.fromarray(np.zeros((8, 6, 3), np.uint8)).save(target)
    with pytest.raises(InputError, match=r"s001\.png.*mode RGB"):
        LabelSet.load(folder)
    target.write_bytes(b"\x89PNG\r\n\x1a\n no more")
    with pytest.raises(InputError, match=r"s001\.png: cannot be read as a picture"):
        LabelSet.load(folder)


def test_a_mask_whose_palette_was_sorted_is_refused(folder: Path) -> None:
    """An editor that sorts colours changes what the indices mean; the colours still tell."""
    path = folder / "masks" / "s001.png"
    image = Image.open(path)
    used = np.unique(np.asarray(image)).tolist()
    image.remap_palette(used[::-1]).save(path)
    with pytest.raises(InputError, match=r"s001\.png: index 0 is class 'background', but has the colour of 'not"):
        LabelSet.load(folder)
    image.remap_palette([*used[:-1], 9, 255]).save(path)  # 255 comes later, nothing else moves
    with pytest.raises(InputError, match=r"index 4 is class 'no class', but has the colour of 'not labelled'"):
        LabelSet.load(folder)


def test_wrong_json(folder: Path) -> None:
    cases: list[tuple[dict[str, object], str]] = [
        ({"version": 9}, "version 9 is unknown"),
        ({"ignore_index": 0}, "ignore_index 0"),
        ({"classes": []}, "0 classes"),
        ({"classes": [{"name": "a", "color": [0, 0, 999]}]}, r"classes\[0\].*color"),
        ({"classes": [{"name": "a", "color": [0, 0, 0]}] * 2}, "'a' is listed 2 times"),
        ({"truncation": "much"}, '"truncation": expected a number'),
        ({"truncation": -1}, "truncation -1"),
        ({"generator": {"uri": "x", "sha256": "123"}}, "64 hexadecimal"),
        ({"samples": [{"file": "../s000.png", "seed": 1}]}, "plain file name"),
        ({"samples": [{"file": "s000.png"}]}, "neither"),
        ({"samples": [{"file": "s000.png", "seed": 1, "latent": "s001.npy"}]}, "both"),
        ({"samples": [{"file": "s000.png", "seed": -1}]}, "seed -1"),
        ({"samples": [{"file": "s000.png", "seed": 1}, {"file": "s000.png", "seed": 2}]}, "listed twice"),
    ]
    original = (folder / "labelset.json").read_text()
    for changes, message in cases:
        edit(folder, **changes)
        with pytest.raises(InputError, match=message):
            LabelSet.load(folder)
        (folder / "labelset.json").write_text(original)
    (folder / "labelset.json").write_text(original[:50])
    with pytest.raises(InputError, match=r"labelset\.json: is not valid JSON"):
        LabelSet.load(folder)


def test_classes_keep_their_thing_flag(tmp_path: Path) -> None:
    classes = (LabelClass("sky", (1, 2, 3)), LabelClass("car", (4, 5, 6), thing=True))
    LabelSet(classes, (), "g", SHA).save(tmp_path / "s")
    assert LabelSet.load(tmp_path / "s").classes == classes


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_any_field_may_be_anything_and_only_input_errors_come_out(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp() / "fuzz-labelset"
    if not folder.exists():
        make().save(folder)
        (folder / "original").write_text((folder / "labelset.json").read_text())
    tree = json.loads((folder / "original").read_text())
    node, key = tree, data.draw(st.sampled_from(sorted(tree)))
    while isinstance(node[key], dict | list) and node[key] and data.draw(st.booleans()):
        node = node[key]
        key = data.draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
    node[key] = data.draw(JSON)
    (folder / "labelset.json").write_text(json.dumps(tree))
    with contextlib.suppress(InputError):
        LabelSet.load(folder)


def test_keypoints_come_along(tmp_path: Path) -> None:
    points = np.array([[1.5, 2.25, 2], [0, 0, 0]], np.float32)
    base = make(2)
    samples = (base.samples[0]._replace(keypoints=points), base.samples[1])
    labels = LabelSet(base.classes, samples, "g", SHA, keypoints=("centre", "end"))
    labels.save(tmp_path / "s")
    again = LabelSet.load(tmp_path / "s")
    assert again.keypoints == ("centre", "end")
    np.testing.assert_array_equal(again.samples[0].keypoints, points)
    assert again.samples[1].keypoints is None
    assert again.content_sha256 == labels.content_sha256
    moved = (base.samples[0]._replace(keypoints=points + np.float32([1, 0, 0])), base.samples[1])
    assert LabelSet(base.classes, moved, "g", SHA, keypoints=("centre", "end")).content_sha256 != labels.content_sha256
    with pytest.raises(InputError, match="2 keypoints; expected x, y, visibility of 1"):
        LabelSet(base.classes, samples, "g", SHA, keypoints=("centre",))
    with pytest.raises(InputError, match="keypoint names"):
        LabelSet(base.classes, samples, "g", SHA, keypoints=("a", "a"))
    with pytest.raises(InputError, match="keypoint visibility"):
        LabelSet(base.classes, (base.samples[0]._replace(keypoints=points + 1),), "g", SHA, keypoints=("a", "b"))


def test_values_and_crop_come_back(tmp_path: Path) -> None:
    labels = make(size=(6, 8))
    values = np.random.default_rng(1).random((6, 8, 2)).astype(np.float32)
    values[0, 0] = np.nan
    first = labels.samples[0]._replace(values=values)
    channels = (ValueChannel("depth", "m", 0.0, 1.0), ValueChannel("slope", "", -1.0, 1.0))
    full = replace(labels, samples=(first, *labels.samples[1:]), values=channels, crop=Crop(1, 7, 0, 8))
    full.save(tmp_path / "set")
    again = LabelSet.load(tmp_path / "set")
    np.testing.assert_array_equal(again.samples[0].values, values)
    assert (again.values, again.crop, again.samples[1].values) == (channels, Crop(1, 7, 0, 8), None)
    assert again.content_sha256 == full.content_sha256 != labels.content_sha256
    inside = np.ones((6, 8))
    around = again.embed(inside, np.nan, (8, 8))
    assert around.shape == (8, 8)
    assert np.isnan(around[[0, 7]]).all()
    assert (around[1:7] == 1).all()


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"crop": [0, 8, 0]}, '"crop" has 3 numbers'),
        ({"crop": [0, 7, 0, 6]}, "has 6 x 8 pixels; the crop 0:7,0:6 has 6 x 7"),
        ({"crop": [4, 2, 0, 6]}, "expected 0 <= top < bottom"),
        ({"crop": "0:8"}, '"crop": expected a list'),
        ({"values": [{"name": "d", "range": [0, 1, 2]}]}, '"range" has 3 numbers'),
        ({"values": [{"name": "d", "range": [1, 0]}]}, "the lower number first"),
        ({"values": [{"name": "d", "range": [0, 1e9]}]}, "stores hold 16-bit floats"),
        ({"values": [{"name": "../d", "range": [0, 1]}]}, "a name that a file can have"),
        ({"values": [{"name": "d", "range": [0, 1]}] * 2}, "is listed twice"),
    ],
)
def test_wrong_values_and_crops(folder: Path, changes: dict[str, object], complaint: str) -> None:
    edit(folder, **changes)
    with pytest.raises(InputError, match=complaint):
        LabelSet.load(folder)


def test_values_of_a_sample_that_do_not_fit(folder: Path) -> None:
    data = json.loads((folder / "labelset.json").read_text())
    data["samples"][0]["values"] = "s000.npy"
    edit(folder, values=[{"name": "d", "range": [0, 1]}], samples=data["samples"])
    with pytest.raises(InputError, match="cannot be read as an array"):
        LabelSet.load(folder)
    (folder / "values").mkdir()
    for array, complaint in (
        (np.zeros((8, 6), np.float32), "values of shape"),
        (np.zeros((8, 6, 2), np.float32), "expected float32"),
        (np.full((8, 6, 1), 2, np.float32), r"has the value 2, outside d \(0 to 1\)"),
        (np.zeros((8, 6, 1), np.uint8), "expected an array of floating-point numbers"),
    ):
        np.save(folder / "values" / "s000.npy", array)
        with pytest.raises(InputError, match=complaint):
            LabelSet.load(folder)
