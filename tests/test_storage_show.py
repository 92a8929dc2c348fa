"""The contact sheet: there, readable, and of the right samples."""

import numpy as np
import pytest
from PIL import Image
from storage_data import fill, make_spec

from storage import InputError, contact_sheet, create_store, open_dataset
from storage.show import class_shares, heat, overlay, sections


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
    colours = heat(np.array([0.0, 0.5, 1.0, 9.0, np.nan]), 1.0).sum(-1).tolist()
    assert colours[0] < colours[1] < colours[2] == colours[3]
    assert colours[4] == colours[0]


def test_a_wrong_call_is_refused(dataset, tmp_path):
    with pytest.raises(InputError, match="expected 1 or more"):
        contact_sheet(dataset, tmp_path / "sheet.png", n=0)
    with pytest.raises(InputError, match="folder does not exist"):
        contact_sheet(dataset, tmp_path / "no" / "sheet.png")
