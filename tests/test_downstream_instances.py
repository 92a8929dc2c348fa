"""Objects: average precision equals pycocotools', panoptic quality equals torchmetrics', and both by hand."""

import contextlib
import io
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from labelfactory.factory.evaluation.instances import (
    Matches,
    Objects,
    PanopticCounts,
    average_precision,
    match,
    objects_of,
)

THINGS = [1, 2]


def scene(seed: int, objects: int = 7, size: int = 48) -> Objects:
    """Random rectangles; later ones cover earlier ones."""
    rng = np.random.default_rng(seed)
    numbers = np.zeros((size, size), np.int32)
    labels = np.zeros((size, size), np.uint8)
    for number in range(1, objects + 1):
        y, x, h, w = rng.integers(0, size - 12), rng.integers(0, size - 12), *rng.integers(5, 13, 2)
        numbers[y : y + h, x : x + w] = number
        labels[y : y + h, x : x + w] = rng.integers(1, 3)
    found = objects_of(labels, THINGS, numbers)
    return Objects(found.ids, found.classes, rng.random(len(found.classes)).round(1))  # ties in the scores too


def shaken(objects: Objects, seed: int) -> Objects:
    """The same objects moved by a pixel or two, some with another class."""
    rng = np.random.default_rng(seed)
    ids = np.roll(objects.ids, rng.integers(-2, 3, 2), (0, 1))
    wrong = rng.random(len(objects.classes)) < 0.2
    classes = np.where(wrong, 3 - objects.classes, objects.classes)
    return Objects(ids, classes, rng.random(len(classes)).round(1))


def pairs() -> list[tuple[Objects, Objects]]:
    return [(scene(i), shaken(scene(i), 100 + i)) for i in range(12)]


def all_matches(some: Sequence[tuple[Objects, Objects]]) -> list[Matches]:
    return [match(t, p, np.ones(t.ids.shape, bool), THINGS) for t, p in some]


def test_average_precision_equals_pycocotools() -> None:
    from pycocotools import mask as rle
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truths, found = [], []
    for image, (t, p) in enumerate(pairs(), 1):
        for objects, out in ((t, truths), (p, found)):
            for place, (label, score) in enumerate(zip(objects.classes, objects.scores, strict=True), 1):
                code = rle.encode(np.asfortranarray((objects.ids == place).astype(np.uint8)))
                entry = {"image_id": image, "category_id": int(label), "segmentation": code, "score": float(score)}
                out.append(entry | {"id": len(out) + 1, "iscrowd": 0, "area": float(rle.area(code))})
    coco, found_coco = COCO(), COCO()
    for c, annotations in ((coco, truths), (found_coco, found)):
        c.dataset = {
            "images": [{"id": i, "height": 48, "width": 48} for i in range(1, 13)],
            "categories": [{"id": 1}, {"id": 2}],
            "annotations": annotations,
        }
        with contextlib.redirect_stdout(io.StringIO()):
            c.createIndex()
    judge = COCOeval(coco, found_coco, "segm")
    judge.params.areaRng, judge.params.areaRngLbl = [[0, 1e10]], ["all"]
    with contextlib.redirect_stdout(io.StringIO()):
        judge.evaluate()
        judge.accumulate()
    expected = judge.eval["precision"][:, :, :, 0, -1].mean(1).T  # [class, threshold]
    ours = average_precision(all_matches(pairs()), THINGS)
    assert 0.05 < np.nanmean(ours) < 0.95
    np.testing.assert_allclose(ours, expected, atol=1e-9)


def test_panoptic_quality_equals_torchmetrics() -> None:
    from torchmetrics.functional.detection import panoptic_quality as theirs

    some = pairs()

    def stack(which: int) -> torch.Tensor:
        maps = []
        for pair in some:
            objects = pair[which]
            labels = np.r_[0, objects.classes][objects.ids]
            maps.append(np.stack([labels, objects.ids], -1))
        return torch.from_numpy(np.stack(maps))

    expected = theirs(
        stack(1), stack(0), things={1, 2}, stuffs={0}, return_per_class=True
    ).flatten()  # things come first
    found = all_matches(some)
    sums = [sum(getattr(m, name) for m in found) for name in FIELDS]
    ours = PanopticCounts(*sums).panoptic_quality
    assert 0.05 < ours.mean() < 0.95
    np.testing.assert_allclose(ours, expected.numpy()[:2], atol=1e-6)


FIELDS = ("iou_sum", "true_positives", "false_positives", "false_negatives")


def test_by_hand_one_right_one_missed_one_invented() -> None:
    truth, predicted = np.zeros((4, 12), np.uint8), np.zeros((4, 12), np.uint8)
    truth[0:2, 0:4] = predicted[0:2, 1:5] = 1  # IoU 6 / 10
    truth[0:2, 10:12] = 1
    predicted[3, 7:9] = 1
    m = match(objects_of(truth, [1]), objects_of(predicted, [1]), truth < 255, [1])
    assert (m.true_positives, m.false_positives, m.false_negatives) == (1, 1, 1)
    assert m.panoptic_quality[0] == pytest.approx(0.6 / (1 + 0.5 + 0.5))
    ap = average_precision([m], [1])[0]
    # Equal scores, in order of appearance: the right one first. Recall 1/2 at precision 1: 51 of 101 recalls.
    assert ap[:3] == pytest.approx([51 / 101] * 3)
    assert ap[3] == 0


def test_predictions_on_unlabelled_ground_do_not_count() -> None:
    truth, predicted = np.zeros((4, 8), np.uint8), np.zeros((4, 8), np.uint8)
    truth[:, 4:] = 255
    predicted[1:3, 5:8] = 1
    m = match(objects_of(truth, [1]), objects_of(predicted, [1]), truth != 255, [1])
    assert m.false_positives == [0]
    assert not m.detections


def test_nothing_at_all_has_no_score() -> None:
    empty = np.zeros((4, 4), np.uint8)
    m = match(objects_of(empty, [1]), objects_of(empty, [1]), empty < 255, [1])
    assert np.isnan(average_precision([m], [1])).all()
    assert np.isnan(m.panoptic_quality).all()


def test_scores_are_mean_probabilities_and_crumbs_are_left_out() -> None:
    mask = np.zeros((6, 6), np.uint8)
    mask[1:3, 1:3], mask[5, 5] = 1, 1
    p = np.zeros((2, 6, 6), np.float32)
    p[1] = 0.75
    found = objects_of(mask, [1], probabilities=p, min_area=2)
    assert found.scores.tolist() == [0.75]
    assert found.ids.max() == 1


def test_numbered_objects_take_their_commonest_class_and_may_cover_everything() -> None:
    numbers = np.array([[7, 7, 7, 300]])
    mask = np.array([[1, 1, 2, 255]], np.uint8)
    found = objects_of(mask, THINGS, numbers)
    assert found.ids.tolist() == [[1, 1, 1, 0]]  # an object of unlabelled pixels alone has no class
    assert found.classes.tolist() == [1]
