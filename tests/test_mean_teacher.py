"""Mean teacher: unlabelled images help where labels are few, and the ramp is the paper's."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from disc_world import discs

from factory.downstream.inference import dataset_confusion
from factory.downstream.mean_teacher import MeanTeacherConfig, jitter, ramp_up, train_mean_teacher
from factory.downstream.metrics import scores
from factory.downstream.training import TrainingConfig
from factory.downstream.unet import UNet
from factory.errors import InputError

CONFIG = TrainingConfig(steps=150, batch_size=8, learning_rate=1e-2, average=0.7, precision="fp32")


def test_unlabelled_images_make_the_answer_steadier_and_better() -> None:
    images, test = discs(64, seed=2).images, discs(64, seed=3)

    def outcome(consistency: float) -> tuple[float, float]:
        torch.manual_seed(0)
        net = UNet(1, 2, width=4, depth=2)
        semi = MeanTeacherConfig(consistency)
        teacher = train_mean_teacher(net, discs(2), images, CONFIG, semi, progress=False)
        x, generator = teacher.prepare(torch.from_numpy(images)), torch.Generator().manual_seed(0)
        with torch.no_grad():
            a, b = (teacher(jitter(x, generator)).softmax(1) for _ in range(2))
        return float((a - b).square().mean()), float(scores(dataset_confusion(teacher, test)).miou)

    (unsteady, without), (steady, with_them) = outcome(0.0), outcome(5.0)
    assert steady < unsteady / 5
    assert with_them > without


def test_the_ramp_rises_from_almost_nothing_to_one() -> None:
    assert ramp_up(0, 10.0) == pytest.approx(np.exp(-5))
    assert ramp_up(10, 10.0) == ramp_up(99, 10.0) == 1
    assert ramp_up(3, 10.0) < ramp_up(4, 10.0)


def test_jitter_changes_light_and_not_geometry() -> None:
    x = torch.zeros(4, 1, 16, 16)
    x[:, :, 8:] = 0.5
    y = jitter(x, torch.Generator().manual_seed(0))
    assert not torch.equal(x, y)
    assert (y[:, :, 12:].mean((1, 2, 3)) > y[:, :, :4].mean((1, 2, 3))).all()


def test_nothing_labelled_or_nothing_unlabelled_is_a_wrong_call() -> None:
    net, config = UNet(1, 2, width=2, depth=1), replace(CONFIG, steps=1)
    for labelled, unlabelled in ((discs(0), discs(2).images), (discs(2), discs(0).images)):
        with pytest.raises(InputError, match="needs labelled pairs and unlabelled images"):
            train_mean_teacher(net, labelled, unlabelled, config)
