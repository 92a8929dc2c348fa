"""What a run reads: one store, or several mixed by weight, position after position."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from storage_data import fill, make_spec

from labelfactory.storage import ClassInfo, InputError, create_store, open_dataset
from labelfactory.storage.course import Course, Share
from labelfactory.storage.shuffle import Shuffle

SHUFFLE = Shuffle(3, block=2, shards_in_flight=2, window=3)


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    folder = tmp_path_factory.mktemp("course")
    opened = []
    for name, count in (("a", 40), ("b", 9), ("c", 25)):
        fill(create_store(str(folder / name), make_spec(count=count, shard_size=8, seed=count)))
        opened.append(open_dataset(str(folder / name)))
    return opened


def epoch_of(course, epoch):
    which, samples = course.samples([(epoch, 0, course.count)])
    return list(zip(which.tolist(), samples.tolist(), strict=True))


@settings(deadline=None)
@given(
    weights=st.lists(st.floats(0.001, 1000), min_size=1, max_size=5),
    positions=st.lists(st.integers(0, 10**9), min_size=2, max_size=6).map(sorted),
)
def test_a_share_is_exact_to_within_one_and_never_shrinks(weights, positions):
    share = Share.of(weights, len(weights))
    given_ = [share.given(position) for position in positions]
    for position, counts in zip(positions, given_, strict=True):
        assert sum(counts) == position
        for weight, count in zip(weights, counts, strict=True):
            assert abs(count - position * weight / sum(weights)) <= len(weights)
    assert all(a <= b for pair in pairwise(given_) for a, b in zip(*pair, strict=True))


def test_without_weights_every_sample_comes_once_an_epoch(stores):
    course = Course(stores, SHUFFLE)
    everything = sorted((i, sample) for i, store in enumerate(stores) for sample in store.samples.tolist())
    for epoch in range(3):
        assert sorted(epoch_of(course, epoch)) == everything
    assert epoch_of(course, 0) != epoch_of(course, 1)


def test_weights_hold_in_every_window_and_each_store_goes_round(stores):
    course = Course(stores, SHUFFLE, weights=[1, 2, 1])
    row = [one for epoch in range(5) for one in epoch_of(course, epoch)]
    for start in range(0, len(row) - 72, 24):
        counts = np.bincount([which for which, _ in row[start : start + 24]], minlength=3)
        assert (np.abs(counts - [6, 12, 6]) <= 4).all()
    for store, dataset in enumerate(stores):
        mine = [sample for which, sample in row if which == store]
        for start in range(0, len(mine) - len(dataset), len(dataset)):
            assert sorted(mine[start : start + len(dataset)]) == dataset.samples.tolist()


def test_any_ranges_agree_with_the_whole(stores):
    course = Course(stores, SHUFFLE, weights=[0.3, 0.3, 0.4])
    rows = {epoch: epoch_of(course, epoch) for epoch in (1, 2)}
    for ranges in ([(1, 0, 7), (2, 30, 31), (1, 33, 69)], [(2, 5, 5)], []):
        which, samples = course.samples(ranges)
        found = list(zip(which.tolist(), samples.tolist(), strict=True))
        assert found == [one for epoch, start, stop in ranges for one in rows[epoch][start:stop]]


def test_stores_that_do_not_fit_are_refused(stores, tmp_path):
    for name, changes, word in (
        ("large", {"height": 16}, r"image is uint8 \(16, 6, 3\) there"),
        (
            "classes",
            {"classes": (ClassInfo("background", (0, 0, 0)), ClassInfo("cell", (9, 9, 9)))},
            "expected the same",
        ),
    ):
        fill(create_store(str(tmp_path / name), make_spec(**changes)))
        with pytest.raises(InputError, match=word):
            Course([stores[0], open_dataset(str(tmp_path / name))], SHUFFLE)
    with pytest.raises(InputError, match="expected a number above 0"):
        Course(stores, SHUFFLE, weights=[1, 0, 1])
    with pytest.raises(InputError, match="for each of the 3 stores"):
        Course(stores, SHUFFLE, weights=[1])
    with pytest.raises(InputError, match="no sample that passes"):
        Course([open_dataset(stores[0].uri, max_uncertainty=0.0)], SHUFFLE)
    with pytest.raises(InputError, match="one or more"):
        Course([], SHUFFLE)
