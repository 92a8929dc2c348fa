"""The order of an epoch: every sample once, long reads, equal shares."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelfactory.storage import InputError
from labelfactory.storage.shuffle import Shuffle, plan_epoch


@given(
    kept=st.lists(st.integers(0, 400), unique=True, max_size=200).map(sorted),
    shard_size=st.integers(1, 50),
    block=st.integers(1, 20),
    window=st.integers(1, 4),
    ranks=st.integers(1, 3),
    workers=st.integers(1, 3),
    enabled=st.booleans(),
)
def test_shares_are_disjoint_equal_and_nearly_everything(kept, shard_size, block, window, ranks, workers, enabled):
    samples = np.array(kept, dtype=np.int64)
    shuffle = Shuffle(3, block, 2, window, enabled)
    shares = [
        [plan_epoch(samples, shard_size, shuffle, 0, rank, ranks, worker, workers) for worker in range(workers)]
        for rank in range(ranks)
    ]
    sizes = [sum(len(plan.places) for plan in plans) for plans in shares]
    assert sizes == [len(samples) // ranks] * ranks
    everything = np.concatenate([plan.places for plans in shares for plan in plans])
    assert len(np.unique(everything)) == len(everything)
    assert set(everything.tolist()) <= set(range(len(samples)))
    for plan in (plan for plans in shares for plan in plans):
        assert plan.window_ends.tolist() == sorted(set(plan.window_ends.tolist()))
        assert plan.window_ends[-1:].tolist() == [len(plan.places)][: len(plan.window_ends)]
        for start, end in zip([0, *plan.window_ends[:-1]], plan.window_ends, strict=False):
            # No window reaches into more blocks than it may.
            touched = samples[plan.places[start:end]]
            assert len({(s // shard_size, s % shard_size // block) for s in touched.tolist()}) <= window


def test_the_order_follows_from_seed_and_epoch_alone():
    samples = np.arange(1000)

    def order(seed, epoch):
        return plan_epoch(samples, 100, Shuffle(seed=seed), epoch).places.tolist()

    assert order(1, 0) == order(1, 0)
    assert order(1, 0) != order(1, 1)
    assert order(1, 0) != order(2, 0)
    assert plan_epoch(samples, 100, Shuffle(enabled=False), 5).places.tolist() == samples.tolist()


def test_shuffling_mixes_far_apart_samples():
    places = plan_epoch(np.arange(10_000), 500, Shuffle(), 0).places
    assert abs(np.corrcoef(places, np.arange(10_000))[0, 1]) < 0.1
    assert np.mean(np.abs(np.diff(places)) == 1) < 0.02


def test_only_so_many_shards_are_read_at_a_time():
    places = plan_epoch(np.arange(10_000), 100, Shuffle(shards_in_flight=4), 0).places
    # Three groups of four, where a window reaches over the end of a group on both sides; unbounded it would be ~98.
    assert all(len(np.unique(part // 100)) <= 12 for part in places.reshape(-1, 400))


def test_a_wrong_call_is_refused():
    with pytest.raises(InputError, match="rank 2 of 2"):
        plan_epoch(np.arange(3), 2, Shuffle(), 0, rank=2, ranks=2)
    with pytest.raises(InputError, match="window is 0"):
        Shuffle(window=0)
