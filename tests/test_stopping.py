"""The stop signal: silent at first, narrower as proposals settle, certain once they stand still."""

import math

import pytest

from labelfactory.factory.labels.stopping import ENOUGH, HIGH, LEAST, LOW, SHARE, stop_signal


def test_it_is_silent_at_first() -> None:
    for changes in ([], [0.3] * (LEAST - 1)):
        signal = stop_signal(changes)
        assert math.isnan(signal.gain)
        assert not signal.enough


def test_its_interval_follows_the_last_changes() -> None:
    early, late = stop_signal([0.4, 0.4]), stop_signal([0.4, 0.4, 0.05, 0.05])
    assert late.high - late.low < early.high - early.low
    assert (late.low, late.gain, late.high) == pytest.approx((LOW * 0.05, SHARE * 0.05, HIGH * 0.05))
    assert early.low < early.gain < early.high


def test_it_says_enough_where_nothing_changes_any_more() -> None:
    assert stop_signal([0.2, 0.0, 0.0]).enough
    assert not stop_signal([0.2, 2 * ENOUGH / HIGH, 2 * ENOUGH / HIGH]).enough
