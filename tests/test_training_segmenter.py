"""Training a segmenter: it learns, resumes to the same weights, stops early, and weighs pixels."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from disc_world import Interrupted, StopsAfter, discs

from labelfactory.errors import InputError, WorkError
from labelfactory.factory.evaluation.metrics import scores
from labelfactory.factory.pairs.augmentation import NONE
from labelfactory.factory.pairs.pairs import ArrayPairs, JoinedPairs, Pair
from labelfactory.factory.segmenters.inference import dataset_confusion
from labelfactory.factory.segmenters.settings import TrainingConfig
from labelfactory.factory.segmenters.training import learning_rate, random_crop, train_segmenter
from labelfactory.factory.segmenters.unet import UNet

CONFIG = TrainingConfig(steps=60, batch_size=8, learning_rate=1e-2, average=0.7, validate_every=20, precision="float32")


def net(seed: int = 0) -> UNet:
    torch.manual_seed(seed)
    return UNet(1, 2, width=4, depth=2)


def test_it_learns_discs() -> None:
    before = scores(dataset_confusion(net().eval(), discs(16, seed=1))).miou
    trained, report = train_segmenter(net(), discs(32), CONFIG, validation=discs(16, seed=1), progress=False)
    after = scores(dataset_confusion(trained, discs(16, seed=1))).miou
    assert after > 0.9 > before
    assert report.best_score == pytest.approx(float(after))
    assert [row["step"] for row in report.history] == [20, 40, 60]
    assert report.history[-1]["loss"] < report.history[0]["loss"]


def test_an_interrupted_run_resumes_to_the_same_weights(tmp_path: Path) -> None:
    whole, _ = train_segmenter(net(), discs(32), CONFIG, progress=False)

    data = discs(32)
    stops = StopsAfter(data, 35)
    with pytest.raises(Interrupted):
        train_segmenter(net(), stops, CONFIG, checkpoint=tmp_path / "run.pt", progress=False)
    resumed, report = train_segmenter(net(9), data, CONFIG, checkpoint=tmp_path / "run.pt", progress=False)
    assert [row["step"] for row in report.history] == [20, 40, 60]
    for a, b in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_a_checkpoint_of_other_settings_or_no_checkpoint_at_all_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    short = replace(CONFIG, steps=2)
    train_segmenter(net(), discs(4), short, checkpoint=path, progress=False)
    with pytest.raises(InputError, match="other settings"):
        train_segmenter(net(), discs(4), replace(short, seed=1), checkpoint=path, progress=False)
    path.write_bytes(b"no checkpoint")
    with pytest.raises(InputError, match="no training checkpoint"):
        train_segmenter(net(), discs(4), short, checkpoint=path, progress=False)


def test_it_stops_when_validation_no_longer_improves() -> None:
    config = replace(CONFIG, steps=100, validate_every=1, patience=2, learning_rate=0.0)
    _, report = train_segmenter(net(), discs(4), config, validation=discs(4), progress=False)
    assert report.stopped_early
    assert len(report.history) == 3


def test_a_run_that_stopped_early_does_not_go_on_when_asked_again(tmp_path: Path) -> None:
    config = replace(CONFIG, steps=100, validate_every=1, patience=1, learning_rate=0.0)
    for _ in range(2):
        path = tmp_path / "run.pt"
        _, report = train_segmenter(net(), discs(4), config, discs(4), checkpoint=path, progress=False)
        assert len(report.history) == 2


def test_wrong_labels_of_weight_zero_do_no_harm() -> None:
    clean = discs(32)
    wrong = clean.masks.copy()
    wrong[:, :, :8] = 1 - wrong[:, :, :8]
    weights = np.ones(wrong.shape, np.float32)
    weights[:, :, :8] = 0
    config = replace(CONFIG, augmentation=NONE)
    good, _ = train_segmenter(net(), ArrayPairs(clean.images, wrong, weights), config, progress=False)
    bad, _ = train_segmenter(net(), ArrayPairs(clean.images, wrong), config, progress=False)
    test = discs(16, seed=1)
    assert scores(dataset_confusion(good, test)).miou > scores(dataset_confusion(bad, test)).miou + 0.1


def test_the_valid_network_is_trained_on_its_inner_pixels_and_other_sizes_through_crops() -> None:
    torch.manual_seed(0)
    valid = UNet(1, 2, width=4, depth=1, padded=False)
    config = replace(CONFIG, steps=3, crop=20)
    both = JoinedPairs([discs(4, size=24), discs(2, size=16)], repeats=[1, 2])
    assert len(both) == 8
    _, report = train_segmenter(valid, both, config, progress=False)
    assert np.isfinite(report.history[-1]["loss"])
    with pytest.raises(InputError, match="set a crop size"):
        train_segmenter(net(), both, replace(config, crop=None), progress=False)


def test_a_crop_shows_matching_windows_and_mirrors_what_is_too_small() -> None:
    pair = discs(1, size=16)[0]
    rng = np.random.default_rng(0)
    small = random_crop(Pair(pair.image, (pair.image[..., 0] > 100).astype(np.uint8)), 9, rng)
    assert small.mask.shape == (9, 9)
    assert np.array_equal(small.mask, small.image[..., 0] > 100)
    assert random_crop(pair, 24, rng).image.shape == (24, 24, 1)


def test_a_loss_that_is_not_finite_is_work_that_failed() -> None:
    with pytest.raises(WorkError, match="the loss is nan"):
        train_segmenter(net(), discs(8), replace(CONFIG, learning_rate=1e30, warmup=0.0), progress=False)


def test_wrong_settings_are_named() -> None:
    with pytest.raises(InputError, match="no pairs"):
        train_segmenter(net(), discs(0), CONFIG)
    with pytest.raises(InputError, match="3 class weights for 2 classes"):
        train_segmenter(net(), discs(1), replace(CONFIG, class_weights=(1.0, 1.0, 1.0)))
    for change in ({"steps": 0}, {"crop": 0}, {"learning_rate": float("nan")}, {"average": 1.0}, {"seed": -1}):
        with pytest.raises(InputError, match="expected"):
            replace(CONFIG, **change)


def test_the_learning_rate_rises_then_falls_to_zero() -> None:
    config = TrainingConfig(steps=100, learning_rate=1.0, warmup=0.1)
    rates = [learning_rate(step, config) for step in range(100)]
    assert rates[9] == rates[10] == 1
    assert rates == sorted(rates[:10]) + sorted(rates[10:], reverse=True)
    assert rates[-1] < 1e-3
