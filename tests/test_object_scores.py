"""Scores of objects, boxes, key points: equal to pycocotools and torchmetrics where these have them, else by hand."""

import contextlib
import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from object_world import CLASSES, Crowds

from labelfactory.factory.evaluation.aggregated_jaccard import aggregated_jaccard
from labelfactory.factory.evaluation.average_precision import REPLICATES
from labelfactory.factory.evaluation.box_judge import around, box_iou
from labelfactory.factory.evaluation.evaluation import Evaluation, evaluate
from labelfactory.factory.evaluation.instances import objects_of
from labelfactory.factory.evaluation.point_judge import OKS_SIGMA
from labelfactory.factory.evaluation.predicted import Boxes, Predicted
from labelfactory.factory.pairs.pairs import Pair


def said_of(pair: Pair, seed: int) -> Predicted:
    """The true objects moved by a pixel or two, some lost, with scores that have ties."""
    rng = np.random.default_rng(seed)
    assert pair.instances is not None
    numbers = np.roll(pair.instances, rng.integers(-2, 3, 2), (0, 1))
    for number in np.unique(numbers[numbers > 0]):
        if rng.random() < 0.2:
            numbers[numbers == number] = 0
    mask = np.where(numbers > 0, 2, np.where(pair.mask == 2, 0, pair.mask)).astype(np.uint8)
    scores = {int(n): float(rng.random().__round__(1)) for n in np.unique(numbers[numbers > 0])}
    return Predicted(mask, instances=numbers, scores=scores)


def both(count: int = 12) -> list[tuple[Pair, Predicted]]:
    pairs = Crowds(count, 48).fetch(range(count))
    return [(pair, said_of(pair, i)) for i, pair in enumerate(pairs)]


def result(some: list[tuple[Pair, Predicted]], **how: object) -> Evaluation:
    return evaluate(some, CLASSES, **({"replicates": 100, "cases": 1} | how))


def test_average_precision_of_boxes_equals_pycocotools() -> None:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truths, found = [], []
    for image, (pair, said) in enumerate(both(), 1):
        for mine, out in (
            (around(objects_of(pair.mask, [2], pair.instances)), truths),
            (around(objects_of(said.mask, [2], said.instances, confidence=said.scores)), found),
        ):
            for (x0, y0, x1, y1), score in zip(mine.corners.tolist(), mine.scores.tolist(), strict=True):
                entry = {"image_id": image, "category_id": 2, "bbox": [x0, y0, x1 - x0, y1 - y0], "score": score}
                out.append(entry | {"id": len(out) + 1, "iscrowd": 0, "area": (x1 - x0) * (y1 - y0)})
    coco, theirs = COCO(), COCO()
    for c, annotations in ((coco, truths), (theirs, found)):
        images = [{"id": i, "height": 48, "width": 48} for i in range(1, 13)]
        c.dataset = {"images": images, "categories": [{"id": 2}], "annotations": annotations}
        with contextlib.redirect_stdout(io.StringIO()):
            c.createIndex()
    judge = COCOeval(coco, theirs, "bbox")
    judge.params.areaRng, judge.params.areaRngLbl = [[0, 1e10]], ["all"]
    with contextlib.redirect_stdout(io.StringIO()):
        judge.evaluate()
        judge.accumulate()
    expected = judge.eval["precision"][:, :, 0, 0, -1].mean(1)
    e = result(both())
    assert 0.1 < expected.mean() < 0.9
    assert e.overall["box_ap"].value == pytest.approx(expected.mean(), abs=1e-9)
    assert e.overall["box_ap50"].value == pytest.approx(expected[0], abs=1e-9)
    assert e.overall["box_ap75"].value == pytest.approx(expected[5], abs=1e-9)


def test_quality_of_all_classes_equals_torchmetrics() -> None:
    """Things and stuff together (1801.00868, section 4)."""
    from torchmetrics.functional.detection import panoptic_quality as theirs

    def stack(which: int) -> torch.Tensor:
        maps = [(pair.mask, pair.instances) if which == 0 else (said.mask, said.instances) for pair, said in both()]
        return torch.from_numpy(np.stack([np.stack([m, np.where(m == 2, i, 0)], -1) for m, i in maps]).astype(np.int64))

    each = theirs(stack(1), stack(0), things={2}, stuffs={0, 1}, return_per_class=True).flatten().tolist()
    e = result(both())
    assert e.overall["panoptic_quality"].value == pytest.approx(each[0], abs=1e-6)
    assert e.overall["pq_stuff"].value == pytest.approx(np.mean(each[1:]), abs=1e-6)
    assert e.overall["pq_all"].value == pytest.approx(np.mean(each), abs=1e-6)
    parts = [e.overall[f"{name}_quality"].value for name in ("segmentation", "recognition", "panoptic")]
    assert parts[0] * parts[1] == pytest.approx(parts[2])


def test_aggregated_jaccard_by_hand() -> None:
    truth, found = np.zeros((4, 12), np.int64), np.zeros((4, 12), np.int64)
    truth[0:2, 0:4], truth[0:2, 10:12] = 1, 2
    found[0:2, 1:5], found[3, 7:9] = 2, 1
    # 6 of 10 pixels of the first, the second lost (4), one invented (2)
    assert aggregated_jaccard(truth, found) == pytest.approx(6 / (10 + 4 + 2))
    assert aggregated_jaccard(truth, truth) == 1
    assert aggregated_jaccard(truth, np.zeros_like(truth)) == 0
    assert aggregated_jaccard(np.zeros_like(truth), truth) == 0
    assert np.isnan(aggregated_jaccard(np.zeros_like(truth), np.zeros_like(truth)))


def test_intervals_hold_the_score_and_are_wider_over_whole_pictures() -> None:
    some = both(24)
    e = result(some, replicates=REPLICATES)
    for name in ("ap", "ap50", "box_ap", "panoptic_quality", "aji", "pq_all"):
        score = e.overall[name]
        assert score.low <= score.value <= score.high, name
        assert score.low < score.high, name
    pieces = [(replace(pair, group=str(i % 3)), said) for i, (pair, said) in enumerate(some)]
    assert result(pieces).groups == 3


def test_a_model_of_boxes_alone_is_judged_by_its_boxes() -> None:
    some = []
    for pair, _ in both(4):
        truth = around(objects_of(pair.mask, [2], pair.instances))
        some.append((pair, Predicted(boxes=Boxes(truth.corners + 0.25, truth.classes, truth.scores))))
    e = result(some)
    assert e.overall["box_ap50"].value == 1
    assert set(e.overall) == {"box_ap", "box_ap50", "box_ap75"}
    assert e.confusion is None
    assert e.ranked_by == "box_f1"
    np.testing.assert_allclose(
        box_iou(np.array([[0.0, 0, 2, 2]]), np.array([[1.0, 1, 3, 3], [5, 5, 6, 6]])), [[1 / 7, 0]]
    )


def test_key_points_by_hand_and_as_pycocotools_would() -> None:
    pairs = Crowds(3, 40).fetch(range(3))
    some = []
    for i, pair in enumerate(pairs):
        assert pair.keypoints is not None
        found = pair.keypoints.copy()
        found[0, 0] += (0.0, 3.0, 9.0)[i]  # within 5 %, 10 % and neither of 40 pixels
        some.append((pair, Predicted(keypoints=found)))
    lost = pairs[0].keypoints.copy()
    lost[1, 2] = 0
    some[0] = (replace(pairs[0], keypoints=lost), some[0][1])
    e = result(some, keypoints=("middle", "top"))
    assert e.overall["pck"].value == pytest.approx(4 / 5)
    assert e.overall["pck: middle"].value == pytest.approx(2 / 3)
    assert e.overall["pck: top"].value == 1
    assert e.overall["pck5"].value == pytest.approx(3 / 5)
    assert e.overall["mean_error"].value == pytest.approx((0 + 3 + 9) / 5)
    area = [0.53 * float(np.ptp(p.keypoints[:, :2], 0).max()) ** 2 for p in pairs[1:]]
    oks = [(1 + np.exp(-(d**2) / (2 * a * (2 * OKS_SIGMA) ** 2))) / 2 for d, a in zip((3.0, 9.0), area, strict=True)]
    assert e.overall["oks"].value == pytest.approx(np.mean(oks), rel=1e-4)  # the first has one point: no scale
    assert e.ranked_by == "pck"
