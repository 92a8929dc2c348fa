"""A few kills of a running factory; ``tests/kills.py`` does many."""

import os

import pytest
from kills import LIMIT_S, run


@pytest.mark.skipif(
    not os.environ.get("LABELFACTORY_LONG_TESTS"), reason="takes minutes; LABELFACTORY_LONG_TESTS=1 runs it"
)
def test_runs_that_died_are_told_and_every_store_is_equal(tmp_path):
    told = run(kills=6, seed=0, folder=tmp_path)
    assert sum(told.done.values()) >= 6
    assert told.compared >= 2
    assert told.longest < LIMIT_S
