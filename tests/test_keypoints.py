"""Keypoints: heatmaps decode to where they came from, and a few labelled images teach where to look."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from labelfactory.errors import InputError
from labelfactory.interpreters.keypoints import (
    VISIBLE,
    axis_keypoints,
    decode,
    distances,
    heatmaps,
    mean_error,
    pck,
    predict_keypoints,
)
from labelfactory.interpreters.regression import FeatureRegressor, RegressionRecipe

inside = st.floats(2, 14, allow_nan=False)


@settings(deadline=None)
@given(inside, inside, st.floats(1, 3))
def test_a_gaussian_decodes_to_its_centre(x: float, y: float, sigma: float) -> None:
    maps = heatmaps(torch.tensor([[x, y, 2.0]]), 16, 16, sigma)
    [[px, py, height]] = decode(maps).tolist()
    assert (px, py) == pytest.approx((x, y), abs=1e-3)
    assert height == pytest.approx(1, abs=0.25)


def test_peaks_at_the_border_and_flat_maps() -> None:
    points = decode(heatmaps(torch.tensor([[0.5, 0.5, 2.0], [15.5, 8.0, 1.0]]), 16, 16, 2.0))
    assert points[:, :2].tolist() == [[0.5, 0.5], [15.5, pytest.approx(8, abs=1e-3)]]
    assert bool(decode(torch.zeros(2, 5, 7)).isfinite().all())
    assert bool(heatmaps(torch.zeros(1, 3), 4, 4, 2.0).isnan().all())


def scene(seed: int) -> tuple[list[Tensor], np.ndarray]:
    """A bright blob whose place the features show; the first keypoint is its centre, the second lies to its right."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(4, 10), rng.uniform(4, 12)
    columns, rows = torch.meshgrid(torch.arange(16) + 0.5, torch.arange(16) + 0.5, indexing="xy")
    dx, dy = (columns - x) / 3, (rows - y) / 3
    noise = torch.from_numpy(rng.normal(0, 0.05, (3, 16, 16)).astype(np.float32))
    features = torch.stack([dx.clamp(-2, 2), dy.clamp(-2, 2), torch.exp(-(dx**2) - dy**2)]) + noise
    coarse = torch.nn.functional.avg_pool2d(features, 4)
    return [coarse[None].float(), features[None].float()], np.float32([[x, y, 2], [x + 3, y, 2]])


def taught(scenes: int, visible: tuple[int, int] = (1, 1), sigma: float = 1.5) -> list[tuple[list[Tensor], Tensor]]:
    """Feature maps and heatmaps; of points that are not visible nothing is known."""
    shown = [(maps, points * np.float32(visible)[:, None]) for maps, points in map(scene, range(scenes))]
    return [(maps, heatmaps(torch.from_numpy(points), 16, 16, sigma)) for maps, points in shown]


@pytest.fixture(scope="module")
def trained() -> FeatureRegressor:
    model = FeatureRegressor((3, 3), ("centre", "right"), "keypoints", members=3, hidden=(32,), sigma=1.5)
    model.fit(taught(8), progress=False, recipe=RegressionRecipe(steps=200), heatmaps=True)
    return model


def test_new_images_keypoints_are_found(trained: FeatureRegressor) -> None:
    scenes = [scene(i) for i in range(50, 58)]
    maps = [torch.cat([s[0][k] for s in scenes]) for k in range(2)]
    prediction = predict_keypoints(trained, maps)
    truth = np.stack([s[1] for s in scenes])
    assert prediction.points.shape == (8, 2, 3)
    assert (mean_error(prediction.points.numpy(), truth) < 0.5).all()
    assert (prediction.points[..., 2] > VISIBLE).all()
    assert prediction.uncertainty.mean() < 1


def test_features_of_nothing_give_low_confidence_and_high_uncertainty(trained: FeatureRegressor) -> None:
    maps, _ = scene(1)
    known = predict_keypoints(trained, maps)
    empty = predict_keypoints(trained, [torch.randn_like(m) for m in maps])
    assert empty.uncertainty.mean() > known.uncertainty.mean()


def test_unlabelled_points_are_not_learned() -> None:
    model = FeatureRegressor((3, 3), ("centre", "right"), "keypoints", members=1, hidden=(8,))
    with pytest.raises(InputError, match="no labelled sample knows right"):
        model.fit(taught(4, visible=(1, 0)), progress=False, heatmaps=True)


def test_metrics_count_labelled_points_only() -> None:
    truth = np.float32([[[0, 0, 2], [5, 5, 2]], [[0, 0, 0], [5, 5, 1]]])
    found = np.float32([[[3, 4], [5, 5]], [[99, 99], [5, 7]]])
    np.testing.assert_array_equal(distances(found, truth), [[5, 0], [np.nan, 2]])
    np.testing.assert_array_equal(pck(found, truth, (1.0, 2.0, 5.0)), [[0, 0.5], [0, 1], [1, 1]])
    np.testing.assert_array_equal(mean_error(found, truth), [5, 1])
    assert np.isnan(mean_error(found, truth * np.float32([1, 1, 0]))).all()


def test_axis_keypoints_of_a_turned_ellipse() -> None:
    y, x = np.mgrid[:64, :64] + 0.5
    for angle in (0.3, 1.2, 2.5):
        u = (x - 30) * np.cos(angle) + (y - 33) * np.sin(angle)
        v = (y - 33) * np.cos(angle) - (x - 30) * np.sin(angle)
        points = axis_keypoints(((u / 20) ** 2 + (v / 8) ** 2 <= 1).astype(np.uint8))
        assert points[0, :2] == pytest.approx((30, 33), abs=0.2)
        end = np.array([np.cos(angle), np.sin(angle)]) * 20
        upper = np.array([30, 33]) + (end if end[1] < 0 else -end)
        np.testing.assert_allclose(points[1, :2], upper, atol=1.2)
        np.testing.assert_allclose(points[1, :2] + points[2, :2], 2 * points[0, :2], atol=1.2)
    assert not axis_keypoints(np.zeros((8, 8), np.uint8)).any()
    flat = np.zeros((8, 8), np.uint8)
    flat[3, 1:7] = 1
    np.testing.assert_allclose(axis_keypoints(flat)[:, :2], [[4, 3.5], [1.5, 3.5], [6.5, 3.5]])
