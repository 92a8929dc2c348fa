"""Expected calibration error and the temperature that mends it."""

import math

import numpy as np
import pytest

from labelfactory.errors import InputError
from labelfactory.factory.evaluation.calibration import Reliability, fitted_temperature


def test_the_error_by_hand() -> None:
    reliability = Reliability()
    reliability.add(np.array([0.95, 0.95, 0.95, 0.95]), np.array([True, True, False, False]))
    reliability.add(np.array([0.55, 1.0]), np.array([True, True]))
    assert reliability.error == pytest.approx((4 * 0.45 + 0.45 + 0.0) / 6)
    assert math.isnan(Reliability().error)


def test_the_temperature_of_logits_that_are_too_large_is_found() -> None:
    rng = np.random.default_rng(0)
    true = rng.normal(0, 1.5, (20000, 4))
    p = np.exp(true) / np.exp(true).sum(1, keepdims=True)
    truth = (p.cumsum(1) > rng.random((20000, 1))).argmax(1)
    for factor in (0.5, 1.0, 3.0):
        assert fitted_temperature((factor * true).astype(np.float32), truth) == pytest.approx(factor, rel=0.05)


def test_what_cannot_be_mended_stays_within_limits() -> None:
    logits = np.array([[5.0, 0.0], [0.0, 5.0]])
    assert fitted_temperature(logits, np.array([0, 1])) == pytest.approx(0.05, rel=1e-6)  # always right: be surer
    assert fitted_temperature(logits, np.array([1, 0])) == pytest.approx(20, rel=1e-6)  # always wrong
    with pytest.raises(InputError, match="no pixels"):
        fitted_temperature(np.zeros((0, 3)), np.zeros(0, np.int64))
