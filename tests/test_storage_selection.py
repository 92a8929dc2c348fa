"""Which samples pass: found by their number among those that do."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from labelfactory.storage.selection import Selection


@settings(deadline=None)
@given(chosen=st.lists(st.booleans(), min_size=1, max_size=100), shard_size=st.integers(1, 30))
def test_any_places_give_the_samples_that_pass(chosen, shard_size):
    selection = Selection.of(np.array(chosen), shard_size)
    truth = np.flatnonzero(chosen)
    assert len(selection) == len(truth)
    assert selection.all().tolist() == truth.tolist()
    places = np.random.default_rng(0).permutation(len(truth))
    assert selection.samples(places).tolist() == truth[places].tolist()
