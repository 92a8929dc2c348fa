"""Evaluation and its report: right numbers from a known predictor, and a page that holds everything."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from disc_world import discs
from PIL import Image
from torch import Tensor

from labelfactory.errors import InputError
from labelfactory.factory.evaluation.evaluation import Evaluation, evaluate
from labelfactory.factory.evaluation.figures import overlay
from labelfactory.factory.evaluation.report import markdown, write_report
from labelfactory.factory.pairs.pairs import ArrayPairs
from labelfactory.factory.segmenters.segmenter import Segmenter
from labelfactory.interpreters.labelset import LabelClass

CLASSES = (LabelClass("background", (0, 0, 0)), LabelClass("disc", (230, 159, 0), thing=True))


class Threshold(Segmenter):
    """Says "disc" where the image is brighter than half: what it gets right is known."""

    def __init__(self) -> None:
        super().__init__(1, 2)
        self.sharpness = torch.nn.Parameter(torch.tensor(50.0))

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        logit = self.sharpness * (x - 0.5)
        return torch.cat([-logit, logit], 1)


def from_masks(truth: np.ndarray, shown: np.ndarray) -> ArrayPairs:
    """Pairs whose images make the predictor say exactly ``shown``."""
    return ArrayPairs((255 * shown)[..., None].astype(np.uint8), truth)


def result(n: int = 6) -> Evaluation:
    masks = discs(n).masks
    shown = masks.copy()
    shown[0] = 0  # one disc is missed
    return evaluate(Threshold(), from_masks(masks, shown), CLASSES, replicates=200, cases=2, progress=False)


def test_every_score_of_a_known_prediction() -> None:
    masks = discs(6).masks
    e = result()
    missed, all_discs = int(masks[0].sum()), int(masks.sum())
    assert e.confusion.tolist() == [[masks.size - all_discs, 0], [missed, all_discs - missed]]
    assert e.per_class["iou"][1].value == pytest.approx(1 - missed / all_discs)
    assert e.overall["pixel_accuracy"].value == pytest.approx(1 - missed / masks.size)
    assert e.per_class["boundary_f"][1].value == pytest.approx(5 / 6)
    assert e.per_class["panoptic_quality"][1].value == pytest.approx(5 / 5.5)
    assert math.isnan(e.per_class["panoptic_quality"][0].value)
    assert e.per_class["ap"][1].value == pytest.approx(np.mean(np.linspace(0, 1, 101) <= 5 / 6))
    low, high = e.overall["miou"].low, e.overall["miou"].high
    assert low < e.overall["miou"].value <= high == 1
    assert e.worst[0].name == "000000"
    assert e.best[0].miou == 1
    assert len(e.best) == len(e.worst) == 2


def test_a_perfect_prediction_scores_one_everywhere() -> None:
    masks = discs(3).masks
    e = evaluate(Threshold(), from_masks(masks, masks), CLASSES, replicates=50, progress=False)
    assert all(score.value == 1 for score in e.overall.values())


def test_unlabelled_images_and_absent_objects_leave_scores_undefined_not_wrong(tmp_path: Path) -> None:
    masks = np.zeros((2, 16, 16), np.uint8)
    masks[1] = 255
    e = evaluate(Threshold(), from_masks(masks, np.zeros_like(masks)), CLASSES, replicates=50, progress=False)
    assert math.isnan(e.per_class["iou"][1].value)
    assert e.overall["miou"].value == 1
    assert "ap" not in e.overall
    written = write_report(e, tmp_path, "nothing")
    assert json.loads(written["json"].read_text())["image_miou"]["000001"] is None


def test_wrong_calls_are_named() -> None:
    with pytest.raises(InputError, match="no labelled images"):
        evaluate(Threshold(), discs(0), CLASSES, progress=False)
    with pytest.raises(InputError, match="knows 2 classes, 1 were named"):
        evaluate(Threshold(), discs(1), CLASSES[:1], progress=False)
    with pytest.raises(InputError, match=r"mask has value 2.*--map"):
        evaluate(Threshold(), from_masks(discs(1).masks + 1, discs(1).masks), CLASSES, progress=False)


def test_the_report_is_one_page_with_everything_inside(tmp_path: Path) -> None:
    history = [{"step": 1, "loss": 1.0, "miou": 0.5}, {"step": 2, "loss": 0.5, "miou": 0.7}]
    e = result()
    e = replace(e, classes=(e.classes[0], LabelClass("<disc> & co", (230, 159, 0), thing=True)))
    written = write_report(e, tmp_path, "Title <b>", "about", history)
    page = written["html"].read_text()
    assert "<b>" not in page.replace("<b>9", "").split("<h1>")[1].split("</h1>")[0]
    assert "&lt;disc&gt; &amp; co" in page
    assert page.count("data:image/png;base64,") == 6
    assert "http" not in page
    summary = json.loads(written["json"].read_text())
    assert summary["overall"]["miou"]["value"] == pytest.approx(e.overall["miou"].value)
    for name in ("confusion", "image_scores", "average_precision", "training", "worst", "best"):
        with Image.open(written[name]) as picture:
            assert picture.width > 100
    assert "| mIoU | " in markdown(e)


def test_overlay_tints_objects_and_leaves_the_ground() -> None:
    image = np.full((2, 2, 1), 100, np.uint8)
    shown = overlay(image, np.array([[0, 1], [255, 1]], np.uint8), CLASSES)
    assert shown[0, 0].tolist() == shown[1, 0].tolist() == [100, 100, 100]
    assert shown[0, 1].tolist() == [158, 126, 55]
