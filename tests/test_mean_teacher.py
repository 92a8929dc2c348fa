"""Mean teacher: unlabelled images help where labels are few, and the ramp is the paper's."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from disc_world import Interrupted, StopsAfter, discs

from labelfactory.errors import InputError
from labelfactory.factory.evaluation.metrics import scores
from labelfactory.factory.pairs.pairs import ArrayPairs
from labelfactory.factory.segmenters.inference import dataset_confusion
from labelfactory.factory.segmenters.mean_teacher import Unlabelled, jitter, ramp_up
from labelfactory.factory.segmenters.segmenter import Segmenter
from labelfactory.factory.segmenters.settings import MeanTeacherConfig, TrainingConfig
from labelfactory.factory.segmenters.training import train_segmenter
from labelfactory.factory.segmenters.unet import UNet
from labelfactory.factory.symmetry import dihedral

CONFIG = TrainingConfig(steps=150, batch_size=8, learning_rate=1e-2, average=0.7, precision="float32")


def net(seed: int = 0) -> UNet:
    torch.manual_seed(seed)
    return UNet(1, 2, width=4, depth=2)


def test_unlabelled_images_make_the_answer_steadier_and_better() -> None:
    free, test = discs(64, seed=2), discs(64, seed=3)

    def outcome(label: int, consistency: float) -> tuple[float, float]:
        unlabelled = Unlabelled(free, MeanTeacherConfig(consistency))
        teacher, _ = train_segmenter(net(), discs(1, seed=label), CONFIG, progress=False, unlabelled=unlabelled)
        x, generator = teacher.prepare(torch.from_numpy(free.images)), torch.Generator().manual_seed(0)
        with torch.no_grad():
            a, b = (teacher(jitter(x, generator)).softmax(1) for _ in range(2))
        return float((a - b).square().mean()), float(scores(dataset_confusion(teacher, test)).miou)

    without, with_them = (np.array([outcome(label, weight) for label in (1, 2, 3)]) for weight in (0.0, 5.0))
    assert (with_them[:, 0] < without[:, 0] / 5).all()
    assert (with_them[:, 1] > without[:, 1]).all()


def test_their_masks_are_not_looked_at() -> None:
    short = replace(CONFIG, steps=3)
    trained = []
    for masks in (discs(8, seed=2).masks, np.full((8, 16, 16), 255, np.uint8)):
        unlabelled = Unlabelled(ArrayPairs(discs(8, seed=2).images, masks))
        trained.append(train_segmenter(net(), discs(2), short, progress=False, unlabelled=unlabelled)[0])
    for a, b in zip(*(t.state_dict().values() for t in trained), strict=True):
        assert torch.equal(a, b)


def test_the_teachers_answer_is_turned_with_the_students_image() -> None:
    class Bright(Segmenter):
        """Logits that are the image itself: what it answers to a turned image is the turned answer."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.cat([-99 * (x - 0.5), 99 * (x - 0.5)], 1)

    model = Bright(1, 2)
    model.weight = torch.nn.Parameter(torch.zeros(1))
    image = np.zeros((16, 16, 1), np.uint8)
    image[:4, :9] = 255  # no symmetry
    unlabelled = Unlabelled(ArrayPairs(image[None], image[None, ..., 0]), MeanTeacherConfig(ramp=0.0, batch_size=2))
    elements = set()
    for step in range(40):
        views = unlabelled.views(model, unlabelled.fetch(0, step), 0, step, None, (16, 16))
        elements.add(views.element)
        turned = dihedral(torch.from_numpy(image).permute(2, 0, 1), views.element) > 127
        assert torch.equal((views.student > 0.5)[0], turned)
        assert float(unlabelled.loss(model, views, model(views.student), 1.0)) < 1.0
        assert float(unlabelled.loss(model, views, -model(views.student), 1.0)) > 4.0
    assert elements == set(range(8))


def test_an_interrupted_run_resumes_to_the_same_weights(tmp_path: Path) -> None:
    config, free, path = replace(CONFIG, steps=12, validate_every=5), discs(16, seed=2), tmp_path / "run.pt"
    whole, _ = train_segmenter(net(), discs(4), config, progress=False, unlabelled=Unlabelled(free))
    stops = Unlabelled(StopsAfter(free, 8))
    with pytest.raises(Interrupted):
        train_segmenter(net(), discs(4), config, checkpoint=path, progress=False, unlabelled=stops)
    other = Unlabelled(free, MeanTeacherConfig(1.0))
    with pytest.raises(InputError, match="other settings"):
        train_segmenter(net(), discs(4), config, checkpoint=path, progress=False, unlabelled=other)
    resumed, report = train_segmenter(
        net(9), discs(4), config, checkpoint=path, progress=False, unlabelled=Unlabelled(free)
    )
    assert [row["step"] for row in report.history] == [5, 10, 12]
    for a, b in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_other_sizes_need_a_crop_and_oblongs_are_not_turned_on_their_side() -> None:
    config, large = replace(CONFIG, steps=2), discs(4, size=24)
    with pytest.raises(InputError, match=r"24 x 24 beside labelled ones of 16 x 16: set a crop"):
        train_segmenter(net(), discs(4), config, progress=False, unlabelled=Unlabelled(large))
    train_segmenter(net(), discs(4), replace(config, crop=12), progress=False, unlabelled=Unlabelled(large))
    oblong = ArrayPairs(discs(4).images[:, :8], discs(4).masks[:, :8])
    train_segmenter(net(), oblong, replace(config, steps=8), progress=False, unlabelled=Unlabelled(oblong))


def test_the_ramp_rises_from_almost_nothing_to_one() -> None:
    assert ramp_up(0.0, 0.4) == pytest.approx(np.exp(-5))
    assert ramp_up(0.4, 0.4) == ramp_up(0.9, 0.4) == ramp_up(0.0, 0.0) == 1
    assert ramp_up(0.1, 0.4) < ramp_up(0.2, 0.4)


def test_jitter_changes_light_and_not_geometry() -> None:
    x = torch.zeros(4, 1, 16, 16)
    x[:, :, 8:] = 0.5
    y = jitter(x, torch.Generator().manual_seed(0))
    assert not torch.equal(x, y)
    assert (y[:, :, 12:].mean((1, 2, 3)) > y[:, :, :4].mean((1, 2, 3))).all()


def test_nothing_labelled_nothing_unlabelled_and_wrong_weights_are_wrong_calls() -> None:
    with pytest.raises(InputError, match="no unlabelled images"):
        Unlabelled(discs(0))
    with pytest.raises(InputError, match="no pairs"):
        train_segmenter(net(), discs(0), CONFIG, unlabelled=Unlabelled(discs(2)))
    for wrong in ({"consistency": -1.0}, {"consistency": float("nan")}, {"ramp": 1.5}, {"batch_size": 0}):
        with pytest.raises(InputError, match="expected"):
            MeanTeacherConfig(**wrong)
