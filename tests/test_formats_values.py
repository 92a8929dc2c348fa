"""Continuous labels: the same numbers from every format, holes where nothing is labelled, and nothing half imported."""

import io
import shutil
import unicodedata
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from nuclei_world import NUCLEI_CLASSES
from PIL import Image

from labelfactory.errors import InputError
from labelfactory.interpreters.channels import ValueChannel
from labelfactory.interpreters.formats import Reading, WantedChannel, import_values
from labelfactory.interpreters.labelset import LabelSet, Sample
from labelfactory.interpreters.sheet import value_sheet

H, W = 12, 10
NAMES = ("a", "b")
DEPTH = [WantedChannel("depth", "m", (0.0, 70_000 / 256))]


@pytest.fixture(scope="module")
def empty() -> LabelSet:
    blank = np.full((H, W), 255, np.uint8)
    samples = tuple(Sample(name, np.zeros((H, W, 1), np.uint8), blank, i) for i, name in enumerate(NAMES))
    return LabelSet(NUCLEI_CLASSES, samples, "builtin:nuclei64", "ab" * 32)


def write(folder: Path, kind: str, name: str, counts: np.ndarray) -> None:
    """Numbers of 16 bits as a tool would store them; ``counts`` / 256 is meant."""
    folder.mkdir(exist_ok=True, parents=True)
    if kind == "npy":
        np.save(folder / f"{name}.npy", counts.astype(np.float64) / 256)
    elif kind == "tif float":
        Image.fromarray((counts / 256).astype(np.float32)).save(folder / f"{name}.tif")
    else:
        Image.fromarray(counts.astype(np.uint16)).save(folder / f"{name}.{kind}")


@pytest.mark.parametrize("kind", ["npy", "png", "tif", "tif float"])
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(counts=arrays.arrays(np.uint16, (H, W), elements=st.integers(0, 2**16 - 1)))
def test_the_same_numbers_in_every_format(tmp_path: Path, empty: LabelSet, kind: str, counts: np.ndarray) -> None:
    source = tmp_path / "source"
    write(source, kind, "b", counts)
    reading = Reading(scale=1.0 if kind in ("npy", "tif float") else 1 / 256)
    labels, report = import_values(empty, source, DEPTH, reading)
    np.testing.assert_array_equal(labels.samples[1].values[..., 0], counts.astype(np.float32) / 256)
    assert labels.samples[0].values is None
    assert report.labelled == ["b"]
    labels.save(tmp_path / "set", overwrite=True)
    again = LabelSet.load(tmp_path / "set")
    np.testing.assert_array_equal(again.samples[1].values, labels.samples[1].values)
    assert again.values == labels.values == (ValueChannel("depth", "m", 0.0, 70_000 / 256),)
    assert again.values_sha256 == labels.values_sha256 != empty.values_sha256
    assert again.content_sha256 == empty.content_sha256  # interpreters do not depend on values


def test_holes(tmp_path: Path, empty: LabelSet) -> None:
    """NaN, a no-data number and a picture of what is valid say the same."""
    counts = np.arange(H * W, dtype=np.uint16).reshape(H, W)
    hole = counts < 15
    holed = np.where(hole, np.nan, counts)
    write(tmp_path / "nan", "npy", "a", counts)
    np.save(tmp_path / "nan" / "a.npy", holed)
    write(tmp_path / "zero", "png", "a", np.where(hole, 0, counts))
    write(tmp_path / "plain", "png", "a", counts)
    (tmp_path / "valid").mkdir()
    Image.fromarray(np.where(hole, 0, 255).astype(np.uint8)).save(tmp_path / "valid" / "a.png")
    channel = [WantedChannel("n")]
    for source, reading, valid in (
        ("nan", Reading(), None),
        ("zero", Reading(no_data=0.0), None),
        ("plain", Reading(), tmp_path / "valid"),
    ):
        labels, report = import_values(empty, tmp_path / source, channel, reading, valid=valid)
        np.testing.assert_array_equal(labels.samples[0].values[..., 0], holed.astype(np.float32))
        assert labels.values == (ValueChannel("n", "", 15.0, H * W - 1.0),)
        assert "n (15 to 119): 87.5% of their pixels" in report.lines()[1]
    Image.fromarray(np.zeros((2, 2), np.uint8)).save(tmp_path / "valid" / "a.png")
    with pytest.raises(InputError, match="the picture of 'a' is 2 x 2, the sample 10 x 12"):
        import_values(empty, tmp_path / "plain", channel, valid=tmp_path / "valid")


def test_several_channels_and_a_second_import(tmp_path: Path, empty: LabelSet) -> None:
    both = np.random.default_rng(0).random((H, W, 2)).astype(np.float32)
    (tmp_path / "npy").mkdir()
    np.save(tmp_path / "npy" / "a.npy", both)
    wanted = [WantedChannel.parse("x:mm:0:1"), WantedChannel.parse("y::-1:1")]
    one, _ = import_values(empty, tmp_path / "npy", wanted)
    for k, name in enumerate("xy"):
        (tmp_path / "folders" / name).mkdir(parents=True)
        Image.fromarray(both[..., k]).save(tmp_path / "folders" / name / "a.tiff")
    archive = Path(shutil.make_archive(str(tmp_path / "zip"), "zip", tmp_path / "folders"))
    two, _ = import_values(empty, archive, wanted)
    np.testing.assert_array_equal(one.samples[0].values, both)
    np.testing.assert_array_equal(two.samples[0].values, both)
    (tmp_path / "z").mkdir()
    np.save(tmp_path / "z" / "b.npy", both[..., 0])
    three, _ = import_values(two, tmp_path / "z", [WantedChannel("z")])
    assert [c.name for c in three.values] == ["x", "y", "z"]
    np.testing.assert_array_equal(three.samples[0].values[..., :2], both)
    assert np.isnan(three.samples[0].values[..., 2]).all()
    assert np.isnan(three.samples[1].values[..., :2]).all()
    assert value_sheet(three.samples, three.values).size[0] > 100
    with pytest.raises(InputError, match=r"x is 0\.\d+ at y \d+, x \d+, outside x \(0 to 0\.5 mm\)"):
        import_values(three, tmp_path / "npy", [WantedChannel("x", range=(0.0, 0.5)), WantedChannel("y")])


@pytest.mark.parametrize(
    ("name", "array", "complaint"),
    [
        ("a.npy", np.zeros((H, W + 1)), "is for an image of 11 x 12; sample 'a' has 10 x 12"),
        ("a.npy", np.zeros((H, W, 3)), r"shape \(12, 10, 3\); expected 1 a pixel"),
        ("a.npy", np.zeros((H, W), bool), "holds bool"),
        ("a.npy", np.array([{"a": 1}]), "cannot be read as an array"),
        ("a.npy", np.full((H, W), np.inf), "infinite or beyond a float"),
        ("a.npy", np.full((H, W), 1e300), "infinite or beyond a float"),
        ("a.npy", np.full((H, W), 1e6), "stores hold 16-bit floats"),
        ("a.png", np.zeros((H, W, 3), np.uint8), "a picture of mode RGB; expected one number per pixel"),
        ("c.npy", np.zeros((H, W)), "no sample is called 'c'"),
        ("a.txt", None, "has no values in it"),
    ],
)
def test_what_is_refused(tmp_path: Path, empty: LabelSet, name: str, array: np.ndarray | None, complaint: str) -> None:
    path = tmp_path / name
    if array is None:
        path.write_text("1 2 3")
    elif path.suffix == ".npy":
        np.save(path, array)
    else:
        Image.fromarray(array).save(path)
    np.save(tmp_path / "b.npy", np.zeros((H, W))) if array is not None else None
    with pytest.raises(InputError, match=complaint) as caught:
        import_values(empty, tmp_path, [WantedChannel("depth")])
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_other_wrong_calls(tmp_path: Path, empty: LabelSet) -> None:
    np.save(tmp_path / "a.npy", np.zeros((H, W)))
    with pytest.raises(InputError, match="name what the numbers are"):
        import_values(empty, tmp_path)
    with pytest.raises(InputError, match="no such file or folder"):
        import_values(empty, tmp_path / "nowhere", [WantedChannel("x")])
    Image.fromarray(np.zeros((H, W), np.uint16)).save(tmp_path / "a.png")
    with pytest.raises(InputError, match="has a file of another kind as well"):
        import_values(empty, tmp_path, [WantedChannel("x")])
    with pytest.raises(InputError, match="expected NAME, NAME:UNIT or"):
        WantedChannel.parse("depth:m:low:high")
    with pytest.raises(InputError, match="the lower number first"):
        import_values(empty, tmp_path / "a.npy", [WantedChannel.parse("depth:m:3:1")])
    with pytest.raises(InputError, match="scale 0"):
        Reading(scale=0.0)
    for name in ("../up", "a/b", " ", "con:"):
        with pytest.raises(InputError):
            import_values(empty, tmp_path / "a.npy", [WantedChannel(name)])
    pages = [Image.fromarray(np.zeros((H, W), np.float32)) for _ in range(2)]
    pages[0].save(tmp_path / "b.tif", save_all=True, append_images=pages[1:])
    with pytest.raises(InputError, match="holds 2 frames"):
        import_values(empty, tmp_path / "b.tif", [WantedChannel("x")])


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), kind=st.sampled_from(["npy", "png", "tif", "tif float", "zip"]))
def test_damaged_bytes_give_one_line(tmp_path: Path, empty: LabelSet, data: st.DataObject, kind: str) -> None:
    source = tmp_path / kind
    if not source.exists():
        write(source, "npy" if kind == "zip" else kind, "a", np.arange(H * W).reshape(H, W))
        if kind == "zip":
            shutil.make_archive(str(source / "a"), "zip", source)
            (source / "a.npy").unlink()
    [path] = source.iterdir()
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    damaged = tmp_path / "damaged"
    shutil.rmtree(damaged, ignore_errors=True)
    damaged.mkdir()
    (damaged / path.name).write_bytes(content[: data.draw(st.just(len(content)) | st.integers(0, len(content)))])
    try:
        labels, _ = import_values(empty, damaged / path.name, DEPTH)
    except InputError as error:
        assert "\n" not in str(error)  # noqa: PT017
    else:
        assert [s.values is not None for s in labels] == [True, False]


def test_a_header_that_promises_more_than_the_file_has(tmp_path: Path, empty: LabelSet) -> None:
    """Nothing of the promised size is allocated."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<f8", "fortran_order": False, "shape": (10**6, 10**6)})
    (tmp_path / "a.npy").write_bytes(buffer.getvalue())
    with pytest.raises(InputError, match="cannot be read as an array"):
        import_values(empty, tmp_path, DEPTH)


def test_a_zip_of_a_mac_with_capitals_and_another_unicode_form(tmp_path: Path, empty: LabelSet) -> None:
    """Resource forks do not count; skipped files are called as they lie in the zip."""
    labels = replace(empty, samples=(empty.samples[0]._replace(name="Zähler"), *empty.samples[1:]))
    write(tmp_path / "source", "npy", "x", np.zeros((H, W), np.uint16))
    content = (tmp_path / "source" / "x.npy").read_bytes()
    with zipfile.ZipFile(tmp_path / "depth.zip", "w") as archive:
        archive.writestr(f"depth/{unicodedata.normalize('NFD', 'Zähler')}.NPY", content)
        archive.writestr("depth/stranger.npy", content)
        archive.writestr("__MACOSX/depth/._a.npy", b"\0\5\26\7")
        archive.writestr("depth/.DS_Store", b"\0")
    result, report = import_values(labels, tmp_path / "depth.zip", DEPTH, skip_unmatched=True)
    assert report.labelled == ["Zähler"]
    assert report.skipped == [f"{tmp_path / 'depth.zip'}/depth/stranger.npy"]
    assert result.samples[0].values is not None
    with pytest.raises(InputError, match=r"depth.zip/depth/stranger.npy: no sample is called 'stranger'"):
        import_values(labels, tmp_path / "depth.zip", DEPTH)
