"""What every format of the table promises, with an example of each."""

import json
import re
import shutil
import unicodedata
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from format_examples import CLASSES, EXAMPLES
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from labelfactory.errors import InputError
from labelfactory.interpreters.classes import name_classes
from labelfactory.interpreters.formats import FORMATS, detect_format, import_labels
from labelfactory.interpreters.formats.source import Source
from labelfactory.interpreters.formats.table import open_format
from labelfactory.interpreters.labelset import LabelSet, Sample

H, W = 20, 24
NAMES = ("seed000001", "Zähler 7")
examples = pytest.mark.parametrize("example", EXAMPLES)


@pytest.fixture
def drawn() -> LabelSet:
    """Masks with all classes, holes, one object in another, an object of one pixel and an unlabelled corner."""
    y, x = np.mgrid[:H, :W]
    samples = []
    for i, name in enumerate(NAMES):
        mask = np.zeros((H, W), np.uint8)
        mask[(x - 9 - i) ** 2 + (y - 9) ** 2 < 40] = 1
        mask[(x - 9) ** 2 + (y - 9 + i) ** 2 < 9] = 0
        mask[2 + i : 9, 17:23] = 2
        mask[4:7, 19:21] = 1
        mask[18, 20 + i] = 3
        mask[17:, :3] = 255
        samples.append(Sample(name, np.zeros((H, W, 1), np.uint8), mask, i))
    return LabelSet(CLASSES, tuple(samples), "g", "ab" * 32)


@pytest.fixture
def empty(drawn: LabelSet) -> LabelSet:
    blank = np.full((H, W), 255, np.uint8)
    return replace(drawn, samples=tuple(s._replace(mask=blank) for s in drawn))


def written(example: str, labels: LabelSet, folder: Path) -> tuple[str, Path]:
    """(format, folder that holds the labels)."""
    folder.mkdir(parents=True)
    format, write = EXAMPLES[example]
    write(labels, folder)
    return format, folder


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def check_equal(labels: LabelSet, expected: LabelSet) -> None:
    for ours, theirs in zip(labels, expected, strict=True):
        np.testing.assert_array_equal(ours.mask, theirs.mask)


def test_every_format_has_an_example_and_a_title() -> None:
    assert {format for format, _ in EXAMPLES.values()} == set(FORMATS)
    assert len({open_format(name).title for name in FORMATS}) == len(FORMATS)
    with pytest.raises(InputError, match="format: 'jpg' is unknown; expected auto, "):
        open_format("jpg")


def test_the_documentation_lists_every_format() -> None:
    text = (Path(__file__).parents[1] / "docs" / "labels.md").read_text(encoding="utf-8")
    listed = [line.split("`")[1] for line in text.splitlines() if line.startswith("| `")]
    assert set(FORMATS) <= set(listed)


@examples
def test_auto_finds_it_and_the_masks_come_back(tmp_path: Path, drawn: LabelSet, empty: LabelSet, example: str) -> None:
    format, folder = written(example, drawn, tmp_path / "source")
    before = contents(folder)
    assert detect_format(Source(folder)) == format
    labels, report = import_labels(empty, folder)
    assert report.format == format
    check_equal(labels, drawn)
    assert contents(folder) == before


@examples
def test_a_zip_made_on_a_mac(tmp_path: Path, drawn: LabelSet, empty: LabelSet, example: str) -> None:
    """A folder of the zip's name in it, resource forks beside every file."""
    _, folder = written(example, drawn, tmp_path / "source")
    given = tmp_path / "labels.zip"
    with zipfile.ZipFile(given, "w") as archive:
        for name, content in contents(folder).items():
            archive.writestr(f"labels/{name}", content)
            parent, _, last = name.rpartition("/")
            archive.writestr("/".join(p for p in ("__MACOSX/labels", parent, f"._{last}") if p), b"\0\5\26\7")
        archive.writestr("labels/.DS_Store", b"\0\0\0\1Bud1")
    labels, _ = import_labels(empty, given)
    check_equal(labels, drawn)


@examples
def test_suffixes_in_capitals(tmp_path: Path, drawn: LabelSet, empty: LabelSet, example: str) -> None:
    _, folder = written(example, drawn, tmp_path / "source")
    for path in [p for p in folder.rglob("*") if p.is_file()]:
        path.rename(path.with_suffix(path.suffix.upper()))
    labels, _ = import_labels(empty, folder)
    check_equal(labels, drawn)


@examples
def test_names_in_another_unicode_form(tmp_path: Path, drawn: LabelSet, empty: LabelSet, example: str) -> None:
    """macOS decomposes an "ä" in file names; a label set made elsewhere has it whole."""
    apart = replace(
        drawn, samples=tuple(s._replace(name=unicodedata.normalize("NFD", s.name)) for s in drawn)
    )  # fmt: skip
    assert apart.samples[1].name != drawn.samples[1].name
    _, folder = written(example, apart, tmp_path / "source")
    labels, _ = import_labels(empty, folder)
    check_equal(labels, drawn)


@examples
def test_errors_name_what_the_person_gave(tmp_path: Path, drawn: LabelSet, empty: LabelSet, example: str) -> None:
    stranger = replace(drawn, samples=(*drawn.samples, drawn.samples[0]._replace(name="stranger")))
    _, folder = written(example, stranger, tmp_path / "source")
    given = Path(shutil.make_archive(str(tmp_path / "labels"), "zip", folder))
    with pytest.raises(InputError, match="stranger") as caught:
        import_labels(empty, given)
    assert str(caught.value).startswith(str(given))
    _, report = import_labels(empty, given, skip_unmatched=True)
    assert "stranger" in report.skipped[0]
    assert report.skipped[0].startswith(str(given))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), example=st.sampled_from(sorted(EXAMPLES)))
def test_damaged_bytes_give_one_line(
    tmp_path: Path, drawn: LabelSet, empty: LabelSet, data: st.DataObject, example: str
) -> None:
    source = tmp_path / example
    if not source.exists():
        written(example, drawn, source)
    damaged = tmp_path / "damaged"
    shutil.rmtree(damaged, ignore_errors=True)
    shutil.copytree(source, damaged)
    path = data.draw(st.sampled_from(sorted(p for p in damaged.rglob("*") if p.is_file())))
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.just(len(content)) | st.integers(0, len(content)))])
    try:
        import_labels(empty, damaged, data.draw(st.sampled_from(["auto", EXAMPLES[example][0]])))
    except InputError as error:
        assert "\n" not in str(error)  # noqa: PT017


MANY = name_classes(["background", *(f"class {i}" for i in range(1, 12))])


@settings(deadline=None, max_examples=15)
@given(data=st.data(), count=st.sampled_from([2, 3, 9, 12]), shape=array_shapes(min_dims=2, max_dims=2, max_side=9))
@examples
def test_any_mask_comes_back(
    tmp_path_factory: pytest.TempPathFactory, example: str, data: st.DataObject, count: int, shape: tuple[int, int]
) -> None:
    """All ids, nine classes and more, unlabelled pixels, odd sizes, objects of one pixel, pictures without any."""
    values = st.sampled_from([*range(count), 255])
    masks = [data.draw(arrays(np.uint8, shape, elements=values, fill=st.just(0) | values)) for _ in range(2)]
    assume(max(m[m < 255].max(initial=0) for m in masks) > 0)  # 0 and 255 alone may mean something else
    image = np.zeros((*shape, 1), np.uint8)
    samples = tuple(Sample(f"s{i}", image, mask, i) for i, mask in enumerate(masks))
    labels = LabelSet(MANY[:count], samples, "g", "ab" * 32)
    blank = replace(labels, samples=tuple(s._replace(mask=np.full_like(s.mask, 255)) for s in samples))
    _, folder = written(example, labels, tmp_path_factory.mktemp("x") / "source")
    back, _ = import_labels(blank, folder, empty="background")
    check_equal(back, labels)


ODD_NUMBERS = ["-1", "0", "1e400", "nan", "99999999999999999999", "0.5", '""', "null", "[]", "{}", "true", "x"]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), example=st.sampled_from(sorted(EXAMPLES)))
def test_damaged_values_give_one_line(
    tmp_path: Path, drawn: LabelSet, empty: LabelSet, data: st.DataObject, example: str
) -> None:
    """Texts stay well formed but for a number or a quoted text that is another one: sizes, ids, runs, coordinates."""
    source = tmp_path / example
    if not source.exists():
        written(example, drawn, source)
    texts = sorted(p for p in source.rglob("*") if p.suffix in (".json", ".xml", ".txt", ".csv", ".yaml"))
    if not texts:
        return
    damaged = tmp_path / "damaged"
    shutil.rmtree(damaged, ignore_errors=True)
    shutil.copytree(source, damaged)
    path = data.draw(st.sampled_from(texts))
    text = path.read_text(encoding="utf-8")
    places = [m.span() for m in re.finditer(r'-?\d[\d.e+-]*|"[^"]*"', text)]
    if not places:
        return
    start, end = places[data.draw(st.integers(0, len(places) - 1))]
    other = data.draw(st.sampled_from(ODD_NUMBERS))
    (damaged / path.relative_to(source)).write_text(text[:start] + other + text[end:], encoding="utf-8")
    try:
        import_labels(empty, damaged, data.draw(st.sampled_from(["auto", EXAMPLES[example][0]])))
    except InputError as error:
        assert "\n" not in str(error)  # noqa: PT017


@pytest.mark.parametrize("format", FORMATS)
def test_nothing_to_read_is_said(tmp_path: Path, empty: LabelSet, format: str) -> None:
    (tmp_path / "notes.md").write_text("nothing here")
    assert open_format(format).recognises(Source(tmp_path)) is None
    with pytest.raises(InputError, match=str(tmp_path)):
        import_labels(empty, tmp_path, format)


def test_a_source_that_two_formats_recognise_is_refused_with_both(tmp_path: Path, empty: LabelSet) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"shapes": []}))
    (tmp_path / "b.json").write_text("[]")
    with pytest.raises(InputError, match=r"labelme \(a.json has shapes\), and label-studio \(b.json is a list"):
        import_labels(empty, tmp_path)
