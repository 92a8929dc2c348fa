"""The order of an epoch: every sample once, long reads, and any piece of it without the rest."""

import time
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelfactory.storage import InputError
from labelfactory.storage.shuffle import EpochOrder, Shuffle

PINNED = [952, 955, 947, 103, 77, 271, 545, 109]
PINNED_FAR = [527564718163, 201465943786, 277234657087]


@settings(deadline=None)
@given(
    count=st.integers(1, 700),
    shard_size=st.integers(1, 120),
    block=st.integers(1, 20),
    shards_in_flight=st.integers(1, 5),
    window=st.integers(1, 4),
    epoch=st.integers(0, 3),
    enabled=st.booleans(),
    cuts=st.lists(st.floats(0, 1), max_size=4),
)
def test_any_pieces_together_are_every_sample_once(
    count, shard_size, block, shards_in_flight, window, epoch, enabled, cuts
):
    shuffle = Shuffle(3, block, shards_in_flight, window, enabled)
    whole = EpochOrder(count, shard_size, shuffle).places(epoch, 0, count)
    assert sorted(whole.tolist()) == list(range(count))
    ends = [0, *sorted(int(cut * count) for cut in cuts), count]
    pieces = [EpochOrder(count, shard_size, shuffle).places(epoch, a, b) for a, b in pairwise(ends)]
    assert np.concatenate(pieces).tolist() == whole.tolist()


def test_the_order_follows_from_seed_and_epoch_alone():
    def order(seed, epoch):
        return EpochOrder(1000, 100, Shuffle(seed=seed)).places(epoch, 0, 1000).tolist()

    assert order(1, 0) == order(1, 0)
    assert order(1, 0) != order(1, 1)
    assert order(1, 0) != order(2, 0)
    assert EpochOrder(1000, 100, Shuffle(enabled=False)).places(5, 0, 1000).tolist() == list(range(1000))


def test_the_order_is_the_same_for_good():
    """A saved position means something only while this holds: a change of these numbers loses people's places."""
    assert EpochOrder(1000, 100, Shuffle(7)).places(3, 500, 508).tolist() == PINNED
    assert EpochOrder(10**12, 256, Shuffle(7)).places(3, 5 * 10**11, 5 * 10**11 + 3).tolist() == PINNED_FAR


def test_shuffling_mixes_far_apart_samples():
    places = EpochOrder(10_000, 50, Shuffle()).places(0, 0, 10_000)
    assert abs(np.corrcoef(places, np.arange(10_000))[0, 1]) < 0.1
    assert np.mean(np.abs(np.diff(places)) == 1) < 0.02


def test_every_sample_comes_everywhere_in_some_epoch():
    """Where a sample comes is spread evenly, also for the last ones of a set that fills no block."""
    order = EpochOrder(1003, 100, Shuffle())
    found = np.array([np.argsort(order.places(epoch, 0, 1003))[[0, 500, 1002]] for epoch in range(200)])
    assert (np.abs(found.mean(axis=0) / 1003 - 0.5) < 0.08).all()
    assert (np.abs(found.std(axis=0) / 1003 - 12**-0.5) < 0.05).all()


def test_only_so_many_shards_are_read_at_a_time_and_blocks_stay_whole():
    places = EpochOrder(10_000, 100, Shuffle(shards_in_flight=4, block=10)).places(0, 0, 10_000)
    # Each of a group's four segments lies in two shards at most, or in three at the ring's end.
    assert all(len(np.unique(part // 100)) <= 9 for part in places.reshape(-1, 400))
    for window in (group[start : start + 160] for group in places.reshape(-1, 400) for start in (0, 160, 320)):
        runs = np.split(np.sort(window), np.flatnonzero(np.diff(np.sort(window)) > 1) + 1)
        assert len(runs) <= 17  # 16 blocks, one of which may lie over the end of the ring


def test_a_place_in_a_billion_samples_is_found_at_once():
    began = time.process_time()
    places = EpochOrder(10**9, 256, Shuffle(1)).places(2, 987_654_321, 987_654_321 + 256)
    assert time.process_time() - began < 0.05
    assert len(np.unique(places)) == 256


def test_a_wrong_call_is_refused():
    with pytest.raises(InputError, match="positions 2 to 5"):
        EpochOrder(4, 2, Shuffle()).places(0, 2, 5)
    with pytest.raises(InputError, match="window is 0"):
        Shuffle(window=0)
    with pytest.raises(InputError, match="seed is -1"):
        Shuffle(seed=-1)
