"""What the uncertainty filter keeps: the plain definition, and the same over scores that lie in a file."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from labelfactory.storage import keep_mask
from labelfactory.storage.scores import Scores

SCORES = st.floats(width=32, allow_nan=False) | st.sampled_from([0.0, -0.0, 0.25, 1.0])


@given(
    scores=arrays.arrays(np.float32, st.integers(1, 60), elements=SCORES),
    quantile=st.floats(0.001, 1.0),
    size=st.integers(1, 20),
)
def test_scores_in_a_file_keep_what_the_definition_keeps(scores, quantile, size):
    with pytest.MonkeyPatch.context() as patch, Scores() as waiting:
        patch.setattr("labelfactory.storage.scores.BLOCK", 7)
        for start in range(0, len(scores), size):
            waiting.append(scores[start : start + size])
        sizes = (min(size, len(scores) - start) for start in range(0, len(scores), size))
        kept = np.concatenate(list(waiting.keep(quantile, sizes)))
    assert np.array_equal(kept, keep_mask(scores, quantile))


def test_among_equal_scores_the_lower_index_is_kept():
    assert keep_mask(np.array([2, 1, 1, 1], np.float32), 0.5).tolist() == [False, True, True, False]
    assert keep_mask(np.zeros(1000, np.float32), 0.9).sum() == 900
