"""The seed rule, against NumPy's own generator."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelfactory.storage import InputError, sample_seeds


@given(dataset_seed=st.integers(0, 2**64 - 1), start=st.integers(0, 2**62))
def test_seeds_are_philox_first_words(dataset_seed, start):
    seeds = sample_seeds(dataset_seed, start, start + 3)
    keys = [np.array([dataset_seed, i], dtype=np.uint64) for i in range(start, start + 3)]
    assert seeds.tolist() == [int(np.random.Philox(key=key).random_raw()) for key in keys]


def test_any_part_of_the_range_gives_the_same_seeds():
    assert np.array_equal(sample_seeds(3, 0, 100)[40:60], sample_seeds(3, 40, 60))
    assert sample_seeds(3, 5, 5).shape == (0,)
    assert len(np.unique(sample_seeds(0, 0, 10_000))) == 10_000


@pytest.mark.parametrize("call", [(-1, 0, 1), (2**64, 0, 1), (0, 2, 1), (0, -1, 1)])
def test_out_of_range_is_refused(call):
    with pytest.raises(InputError, match="expected"):
        sample_seeds(*call)
