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
from labelfactory.factory.evaluation.cases import overlay
from labelfactory.factory.evaluation.evaluation import Evaluation, evaluate
from labelfactory.factory.evaluation.predicted import Predicted
from labelfactory.factory.evaluation.report import markdown, write_report
from labelfactory.factory.pairs.pairs import ArrayPairs, Pair
from labelfactory.factory.segmenters.inference import judged
from labelfactory.factory.segmenters.segmenter import Segmenter
from labelfactory.interpreters.classes import LabelClass

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
    return evaluate(judged(Threshold(), from_masks(masks, shown), progress=False), CLASSES, replicates=200, cases=2)


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
    assert e.best[0].score == 1
    assert len(e.best) == len(e.worst) == 2


def test_a_perfect_prediction_scores_one_everywhere() -> None:
    masks = discs(3).masks
    e = evaluate(judged(Threshold(), from_masks(masks, masks), progress=False), CLASSES, replicates=50)
    assert all(score.value == 1 for score in e.overall.values())


def test_unlabelled_images_and_absent_objects_leave_scores_undefined_not_wrong(tmp_path: Path) -> None:
    masks = np.zeros((2, 16, 16), np.uint8)
    masks[1] = 255
    e = evaluate(judged(Threshold(), from_masks(masks, np.zeros_like(masks)), progress=False), CLASSES, replicates=50)
    assert math.isnan(e.per_class["iou"][1].value)
    assert e.overall["miou"].value == 1
    assert "ap" not in e.overall
    written = write_report(e, tmp_path, "nothing")
    assert json.loads(written["json"].read_text())["image_miou"]["000001"] is None


def test_wrong_calls_are_named() -> None:
    with pytest.raises(InputError, match="no labelled images"):
        evaluate(judged(Threshold(), discs(0), progress=False), CLASSES)
    with pytest.raises(InputError, match="knows 2 classes, 1 were named"):
        evaluate(judged(Threshold(), discs(1), progress=False), CLASSES[:1])
    with pytest.raises(InputError, match=r"mask has value 2.*--map"):
        evaluate(judged(Threshold(), from_masks(discs(1).masks + 1, discs(1).masks), progress=False), CLASSES)


def numbered_pair(**fields: object) -> Pair:
    numbers = np.zeros((8, 12), np.int64)
    numbers[1:4, 1:4], numbers[1:4, 4:7] = 1, 2  # side by side: one connected part
    mask = (numbers > 0).astype(np.uint8)
    return Pair(mask[..., None], mask, instances=numbers, name="a", **fields)


def test_a_model_that_finds_objects_is_judged_by_its_own() -> None:
    pair = numbered_pair()
    parts = evaluate([(pair, Predicted(pair.mask))], CLASSES, replicates=20)
    assert parts.per_class["panoptic_quality"][1].value == 0  # together they overlap neither by more than half
    found = Predicted(pair.mask, instances=pair.instances, scores={1: 0.9, 2: 0.3})
    e = evaluate([(pair, found)], CLASSES, replicates=20)
    assert e.per_class["panoptic_quality"][1].value == e.per_class["ap"][1].value == 1
    assert e.instances == "numbered"


def test_scores_decide_the_order_of_what_was_found() -> None:
    """One right object and one invented: the right one first gives the full precision, last half of it."""
    pair = replace(numbered_pair(), instances=np.where(numbered_pair().instances == 2, 0, numbered_pair().instances))
    for sure, expected in (({1: 0.9, 2: 0.3}, 1.0), ({1: 0.3, 2: 0.9}, 0.5)):
        found = Predicted(pair.mask, instances=numbered_pair().instances, scores=sure)
        assert evaluate([(pair, found)], CLASSES, replicates=20).per_class["ap50"][1].value == expected
    with pytest.raises(InputError, match="object 2 of a prediction has no score"):
        evaluate([(pair, replace(found, scores={1: 0.5}))], CLASSES)


def test_classes_that_do_not_say_what_is_a_thing_have_objects() -> None:
    """As in a store of the same classes: all but the background."""
    undeclared = tuple(replace(c, thing=None) for c in CLASSES)
    pair = numbered_pair()
    e = evaluate([(pair, Predicted(pair.mask))], undeclared, replicates=20)
    assert e.instances == "numbered"
    assert "ap" in e.overall
    stuff = tuple(replace(c, thing=False) for c in CLASSES)
    assert evaluate([(pair, Predicted(pair.mask))], stuff, replicates=20).instances == "none"


def test_a_prediction_of_another_size_or_of_unknown_classes_is_named() -> None:
    pair = numbered_pair()
    with pytest.raises(InputError, match="a: the prediction is 12 x 7, the mask 12 x 8"):
        evaluate([(pair, Predicted(pair.mask[:-1]))], CLASSES)
    with pytest.raises(InputError, match="the prediction holds label 2"):
        evaluate([(pair, Predicted(pair.mask * 2))], CLASSES)


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
