"""What holds for every export format: nothing is lost in silence, nothing half-written, nothing of others touched."""

import json
import resource
import shutil

import numpy as np
import pytest
from export_data import FULL, full_dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from storage_data import fill, make_arrays, make_spec, tree

from labelfactory.storage import ClassInfo, InputError, WorkError, create_store, finalize, open_dataset
from labelfactory.storage.exports import FORMATS, MASKS, export

WITH_MASKS = ("png", "webdataset", "parquet")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return full_dataset(tmp_path_factory.mktemp("exports") / "set")


@pytest.fixture(scope="module")
def exported(dataset, tmp_path_factory):
    """Every format, written once."""
    parent = tmp_path_factory.mktemp("out")
    for format in FORMATS:
        report = export(dataset, format, parent / format)
        assert (report.samples, report.shards, report.written) == (13, 3, 3)
        files = {path for path in tree(parent / format) if not path.startswith(".export/")}
        assert report.files >= len(files)
    return parent


@pytest.mark.parametrize("format", FORMATS)
def test_everything_that_a_format_does_not_hold_is_said(dataset, tmp_path, format):
    report = export(dataset, format, tmp_path / "out")
    held = {
        "png": {"latent"},
        "webdataset": {"latent"},
        "parquet": {"latent"},
        "coco": {"latent", "uncertainty", "value", "value_uncertainty"},
        "yolo": {"latent", "uncertainty", "uncertainty_score", "seed", "value", "value_uncertainty", "keypoints",
                 "keypoint_uncertainty"},
        "yolo-pose": {"latent", "uncertainty", "uncertainty_score", "seed", "value", "value_uncertainty", "mask",
                      "instance", "keypoint_uncertainty"},
    }  # fmt: skip
    said = report.remarks[0].removeprefix(f"left out of {format}: ").split(", ")
    assert set(said) == held[format]


@pytest.mark.parametrize("format", FORMATS)
def test_an_interrupted_export_is_resumed(dataset, exported, tmp_path, format):
    class Interrupted(Exception):
        pass

    def stop(done, total):
        if done > 5:
            raise Interrupted

    with pytest.raises(Interrupted):
        export(dataset, format, tmp_path / "out", progress=stop)
    report = export(dataset, format, tmp_path / "out")
    assert report.written == 1
    assert tree(tmp_path / "out") == tree(exported / format)
    assert export(dataset, format, tmp_path / "out").remarks == report.remarks


@pytest.mark.parametrize("format", FORMATS)
def test_what_was_changed_afterwards_does_not_pass_the_check(dataset, exported, tmp_path, format):
    folder = shutil.copytree(exported / format, tmp_path / "out")
    path = next(path for path in sorted(folder.rglob("*")) if path.suffix in (".png", ".tar", ".parquet"))
    data = bytearray(path.read_bytes())
    place = data.find(b"IDAT") + 10  # inside a picture
    data[place : place + 4] = bytes(4)
    path.write_bytes(data)
    with pytest.raises(WorkError, match=r"not what the store holds|cannot be read back"):
        export(dataset, format, folder)


@pytest.mark.parametrize("format", FORMATS)
def test_files_of_others_stay_as_they_are(dataset, tmp_path, format):
    theirs = {"notes.txt": b"mine", "out/notes.txt": b"mine too", "out/images/train/x.png": b"no picture"}
    export(dataset, format, tmp_path / "out")
    for path, data in theirs.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(data)
    export(dataset, format, tmp_path / "out")
    assert {path: data for path, data in tree(tmp_path).items() if path in theirs} == theirs
    with pytest.raises(InputError, match="holds something else: choose another folder"):
        export(dataset, format, tmp_path / "out/images")
    assert {path: data for path, data in tree(tmp_path).items() if path in theirs} == theirs


@pytest.mark.parametrize("format", FORMATS)
def test_a_disk_that_takes_no_more_is_one_line_and_the_rest_is_made_afterwards(dataset, exported, tmp_path, format):
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    largest = max(len(data) for path, data in tree(exported / format).items())
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest - 1, limit[1]))
    try:
        with pytest.raises(WorkError, match=r"^[^\n]*File too large[^\n]*; when that is mended, the same command"):
            export(dataset, format, tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert not [path for path in tree(tmp_path) if path.endswith(".part")]
    export(dataset, format, tmp_path / "out")
    assert tree(tmp_path / "out") == tree(exported / format)


@pytest.mark.parametrize("format", FORMATS)
def test_an_export_of_another_layout_is_not_continued(dataset, exported, tmp_path, format):
    folder = shutil.copytree(exported / format, tmp_path / "out")
    stamp = json.loads((folder / ".export/export.json").read_text())
    current = stamp.pop("layout")  # as the first release wrote it
    (folder / ".export/export.json").write_text(json.dumps(stamp))
    before = tree(folder)
    if current == 1:
        assert format == "yolo-pose"  # new: there is no older layout
    else:
        expected = f"holds an export in layout 1 of {format}, of another version; this one writes layout {current}"
        with pytest.raises(InputError, match=expected):
            export(dataset, format, folder)
    assert tree(folder) == before


@pytest.mark.parametrize("format", FORMATS)
def test_masks_are_pictures_of_the_asked_style_or_the_option_is_refused(dataset, tmp_path, format):
    if format not in WITH_MASKS:
        with pytest.raises(InputError, match=f"masks 'grey': {format} has no masks as pictures, leave the option out"):
            export(dataset, format, tmp_path / "out", masks="grey")
        assert not (tmp_path / "out").exists()
        return
    for style in MASKS:
        export(dataset, format, tmp_path / style, masks=style)  # and reads it back
    assert tree(tmp_path / "grey") != tree(tmp_path / "indexed") != tree(tmp_path / "colour")
    with pytest.raises(InputError, match=r"another export \(masks differ\)"):
        export(dataset, format, tmp_path / "grey", masks="colour")
    with pytest.raises(InputError, match="masks 'grau': expected one of grey, indexed, colour"):
        export(dataset, format, tmp_path / "out", masks="grau")


def test_masks_in_colour_need_different_colours(tmp_path):
    classes = (ClassInfo("a", (1, 2, 3)), ClassInfo("b", (9, 9, 9)), ClassInfo("c", (1, 2, 3)))
    fill(create_store(str(tmp_path / "set"), make_spec(classes=classes)))
    dataset = open_dataset(str(tmp_path / "set"))
    with pytest.raises(InputError, match="classes 'a' and 'c' have the same colour"):
        export(dataset, "png", tmp_path / "out", masks="colour")
    assert not (tmp_path / "out").exists()
    export(dataset, "png", tmp_path / "out", masks="indexed")


def test_wrong_calls_are_refused(dataset, exported, tmp_path):
    with pytest.raises(InputError, match="format 'gif': expected one of png, coco"):
        export(dataset, "gif", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="holds something else"):
        export(dataset, "png", tmp_path)
    with pytest.raises(InputError, match="holds something else"):
        export(dataset, "png", tmp_path / "mine.txt")
    with pytest.raises(InputError, match=r"another export \(samples differ\)"):
        export(open_dataset(dataset.uri, keep=False), "png", exported / "png")
    with pytest.raises(InputError, match=r"another export \(format, layout.* differ\)"):
        export(dataset, "yolo-pose", exported / "png")
    with pytest.raises(InputError, match="no sample passes"):
        export(open_dataset(dataset.uri, max_uncertainty=-1.0), "png", tmp_path / "none")
    assert not (tmp_path / "none").exists()
    damaged = shutil.copytree(exported / "png", tmp_path / "damaged")
    (damaged / ".export/export.json").write_text("{")
    with pytest.raises(InputError, match="is damaged: choose another folder"):
        export(dataset, "png", damaged)


def test_what_a_store_does_not_have_is_not_asked_for(tmp_path):
    spec = make_spec(count=FULL.count, shard_size=5)
    fill(create_store(str(tmp_path / "set"), spec))
    dataset = open_dataset(str(tmp_path / "set"), keep=False)
    for format in FORMATS:
        if format == "yolo-pose":
            with pytest.raises(InputError, match="this dataset has none: choose another format"):
                export(dataset, format, tmp_path / format)
            assert not (tmp_path / format).exists()
        else:
            assert export(dataset, format, tmp_path / format).samples == 14


SHAPES = st.tuples(st.integers(1, 17), st.integers(1, 17), st.sampled_from([1, 3]))
NUMBERS = st.sampled_from([1, 2, 9, 30, 255])


@pytest.mark.parametrize("format", [format for format in FORMATS if format != "yolo-pose"])
@settings(max_examples=6, deadline=None)
@given(number=NUMBERS, shape=SHAPES, style=st.sampled_from(list(MASKS)), data=st.data())
def test_any_mask_comes_back_from_every_format(tmp_path_factory, format, number, shape, style, data):
    """Of 1 to 255 classes and any size, with every id, unlabelled pixels, objects of one pixel, grey or RGB."""
    height, width, channels = shape
    ids = st.sampled_from([*range(number), 255])
    mask = data.draw(arrays(np.uint8, (3, height, width), elements=ids))
    classes = tuple(ClassInfo(f"class {i}", (i, 255 - i, i // 2), thing=i % 3 != 1) for i in range(number))
    spec = make_spec(
        count=3, height=height, width=width, channels=channels, classes=classes, keep_quantile=1.0, shard_size=3
    )
    folder = tmp_path_factory.mktemp("any")
    with create_store(str(folder / "set"), spec) as opened:
        opened.write_shard(0, make_arrays(spec, 0) | {"mask": mask})
        finalize(opened)
    masks = style if format in WITH_MASKS else None
    export(open_dataset(str(folder / "set")), format, folder / "out", masks=masks)  # reads everything back
