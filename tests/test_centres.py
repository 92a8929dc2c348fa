"""Objects that touch are cut where they touch, and nothing else changes."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from interpreter_world import calm

from labelfactory.interpreters.centres import UNKNOWN, centre_heat, peaks, split_regions
from labelfactory.interpreters.instances import label_instances
from labelfactory.interpreters.regression import FeatureRegressor

SIGMA = 2.0


def discs(*circles: tuple[float, float, float]) -> np.ndarray:
    """Numbers of discs of centre y, x and radius; later ones do not cover earlier ones."""
    y, x = np.mgrid[:32, :48] + 0.5
    out = np.zeros((32, 48), np.int64)
    for number, (cy, cx, r) in enumerate(circles, 1):
        out[((y - cy) ** 2 + (x - cx) ** 2 <= r**2) & (out == 0)] = number
    return out


def same_partition(a: np.ndarray, b: np.ndarray) -> float:
    """Share of the objects' pixels whose number agrees, the numbers of ``b`` renamed to fit ``a``."""
    agree = 0
    for number in np.unique(a[a > 0]):
        agree += np.bincount(b[a == number]).max()
    return agree / (a > 0).sum()


@pytest.mark.parametrize(("small", "large"), [(6, 6), (4, 8), (5, 10)])
def test_two_discs_of_any_sizes_are_cut_where_they_touch(small: int, large: int) -> None:
    truth = discs((16, 12, large), (16, 12 + large + small - 0.5, small))
    mask = (truth > 0).astype(np.uint8)
    together, sizes = label_instances(mask, [1])
    assert len(sizes) == 1
    heat = centre_heat(truth, SIGMA)[0]
    ids, sizes = label_instances(mask, [1], heat=heat, sigma=SIGMA)
    assert len(sizes) == 2
    assert same_partition(truth, ids) > 0.97
    assert ((ids > 0) == (together > 0)).all()


def test_one_centre_or_none_changes_nothing() -> None:
    truth = discs((10, 10, 6), (20, 35, 7))
    mask = (truth > 0).astype(np.uint8)
    plain, _ = label_instances(mask, [1])
    for heat in (centre_heat(truth, SIGMA)[0], np.zeros(truth.shape, np.float32)):
        np.testing.assert_array_equal(label_instances(mask, [1], heat=heat, sigma=SIGMA)[0], plain)


@calm
@given(
    ids=arrays.arrays(np.int64, (9, 11), elements=st.integers(0, 3)),
    heat=arrays.arrays(np.float32, (9, 11), elements=st.floats(-1, 2, width=32)),
)
def test_splitting_only_refines(ids: np.ndarray, heat: np.ndarray) -> None:
    out = split_regions(ids, heat, 1.0)
    assert ((out > 0) == (ids > 0)).all()
    for number in np.unique(out[out > 0]):
        assert len(np.unique(ids[out == number])) == 1
    assert out.max() <= ids.max() + len(peaks(heat, 1.0))


@calm
@given(heat=arrays.arrays(np.float32, (9, 11), elements=st.floats(-1, 2, width=32)), sigma=st.floats(0.1, 3))
def test_peaks_lie_in_the_picture_and_apart(heat: np.ndarray, sigma: float) -> None:
    found = peaks(heat, sigma)
    assert ((found >= 0) & (found < (9, 11))).all()
    assert len(np.unique(found, axis=0)) == len(found)


def test_a_flat_ring_around_a_peak_is_no_second_peak() -> None:
    heat = np.ones((9, 11), np.float32)
    heat[4, 5] = 2
    assert peaks(heat, 1.0).tolist() == [[4, 5]]


def test_a_heatmap_peaks_at_the_centroids() -> None:
    truth = discs((10.5, 10.5, 6), (20.5, 35.5, 7))
    heat = centre_heat(truth, SIGMA)[0]
    assert sorted(map(tuple, peaks(heat, SIGMA).tolist())) == [(10, 10), (20, 35)]
    assert heat.max() == pytest.approx(1)
    truth[0] = UNKNOWN
    assert np.isnan(centre_heat(truth, SIGMA)[0, 0]).all()
    assert (centre_heat(np.zeros((4, 4), np.int64), SIGMA) == 0).all()


def test_a_regressor_learns_where_the_centres_are() -> None:
    def scene(seed: int) -> tuple[list[torch.Tensor], np.ndarray]:
        rng = np.random.default_rng(seed)
        truth = discs((rng.uniform(8, 24), rng.uniform(8, 18), 6), (rng.uniform(8, 24), rng.uniform(30, 40), 6))
        heat = centre_heat(truth, 3.0)
        noise = rng.normal(0, 0.05, (2, *truth.shape))
        return [torch.from_numpy((np.concatenate([heat, truth[None] > 0]) + noise).astype(np.float32))[None]], truth

    model = FeatureRegressor((2,), ("centre",), "centres", members=3, sigma=3.0)
    taught = [(maps, torch.from_numpy(centre_heat(truth, model.sigma))) for maps, truth in map(scene, range(6))]
    model.fit(taught, progress=False, heatmaps=True)
    for seed in range(20, 23):
        maps, truth = scene(seed)
        heat = model.mean_and_spread(maps)[0][0, 0].numpy()
        assert len(peaks(heat, 3.0)) == 2
        assert same_partition(truth, split_regions((truth > 0).astype(np.int64), heat, 3.0)) > 0.9
