"""The contact sheet: there, readable, and of the right samples."""

from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image
from storage_data import fill, make_spec

from labelfactory.palette import heat
from labelfactory.storage import ClassInfo, InputError, contact_sheet, create_store, html_report, open_dataset
from labelfactory.storage.report import class_presence
from labelfactory.storage.show import class_shares, overlay, sections


@pytest.fixture
def dataset(tmp_path):
    fill(create_store(str(tmp_path / "set"), make_spec(count=12)))
    return open_dataset(str(tmp_path / "set"))


def test_the_sheet_is_a_picture(dataset, tmp_path):
    path = contact_sheet(dataset.uri, tmp_path / "sheet.png", n=3)
    with Image.open(path) as sheet:
        assert sheet.width > 600
        assert len(np.unique(np.asarray(sheet).reshape(-1, 3), axis=0)) > 100
    contact_sheet(dataset, tmp_path / "one.png", n=1)


def test_worst_and_best_are_by_score(dataset):
    scores = dataset.scores()
    first, best, worst = sections(dataset, 3)
    assert list(first.samples) == dataset.samples[:3].tolist()
    assert scores[best.samples].tolist() == sorted(scores)[:3]
    assert scores[worst.samples].tolist() == sorted(scores)[:-4:-1]


def test_class_shares_count_every_labelled_pixel(dataset):
    mask = dataset.read("mask", range(12))
    assert np.allclose(class_shares(dataset), [np.mean(mask[mask < 255] == i) for i in range(3)])


def test_background_stays_plain_and_classes_take_their_colour():
    spec = make_spec()
    image, mask = np.full((2, 2, 1), 100, np.uint8), np.array([[0, 1], [2, 255]], np.uint8)
    assert overlay(spec, image, mask).tolist() == [[[100] * 3, [90, 130, 177]], [[177, 50, 50], [100] * 3]]


def test_heat_runs_from_dark_to_bright_and_takes_nan_for_nothing():
    colours = heat(np.array([0.0, 0.5, 1.0, 9.0, np.nan]), 0.0, 1.0).sum(-1).tolist()
    assert colours[0] < colours[1] < colours[2] == colours[3]
    assert colours[4] == colours[0]


def test_a_wrong_call_is_refused(dataset, tmp_path):
    with pytest.raises(InputError, match="expected 1 or more"):
        contact_sheet(dataset, tmp_path / "sheet.png", n=0)
    with pytest.raises(InputError, match="folder does not exist"):
        contact_sheet(dataset, tmp_path / "no" / "sheet.png")


class _Page(HTMLParser):
    """Collects what a page refers to, and checks that what opens also closes."""

    def __init__(self):
        super().__init__()
        self.sources, self.words = [], []

    def handle_starttag(self, tag, attrs):
        self.sources += [value for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data):
        self.words.append(data)


def test_the_report_needs_nothing_but_itself(dataset, tmp_path):
    path = html_report(dataset, tmp_path / "report.html", n=3)
    text = path.read_text(encoding="utf-8")
    page = _Page()
    page.feed(text)
    assert len(page.sources) == 9  # three sections of three
    assert all(source.startswith("data:image/png;base64,") for source in page.sources)
    assert "http" not in text.replace("data:image", "")
    words = " ".join(page.words)
    for fact in ("12 image", "nucleus", dataset.spec.generator_sha256, dataset.spec.hash, "CC0-1.0", "Median"):
        assert fact in words
    for info, share in zip(dataset.spec.classes, class_shares(dataset), strict=True):
        assert info.name in words
        assert f"{share:.2%}" in words
    with pytest.raises(InputError, match="folder does not exist"):
        html_report(dataset, tmp_path / "no" / "report.html")


def test_names_cannot_break_the_page(tmp_path):
    spec = make_spec(classes=(ClassInfo("<script>alert(1)</script>", (1, 2, 3)), ClassInfo("b", (4, 5, 6))))
    fill(create_store(str(tmp_path / "set"), spec))
    text = html_report(str(tmp_path / "set"), tmp_path / "report.html", n=1).read_text(encoding="utf-8")
    assert "<script>" not in text


def test_presence_counts_images(dataset):
    mask = dataset.read("mask", range(12)).reshape(12, -1)
    present, looked = class_presence(dataset)
    assert looked == 12
    assert present.tolist() == [(mask == i).any(axis=1).sum() for i in range(3)]
