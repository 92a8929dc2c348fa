"""Objects put together never overlap and never leave their boxes, however crowded; the surest go first."""

import numpy as np

from labelfactory.factory.objects.together import put_together


def test_the_surest_takes_its_pixels_and_what_is_mostly_hidden_is_left_out() -> None:
    masks = np.zeros((3, 6, 8), bool)
    masks[0, :, :5], masks[1, :, 3:], masks[2, 1:3, 1:4] = True, True, True
    ground = np.zeros((6, 8), np.uint8)
    said = put_together(masks, np.array([2, 3, 2]), np.array([0.5, 0.9, 0.1]), None, ground)
    assert said.scores == {1: 0.9, 2: 0.5}  # the third lies under the second
    assert (said.instances[:, 3:] == 1).all()
    assert (said.instances[:, :3] == 2).all()
    assert (said.mask == np.where(said.instances == 1, 3, 2)).all()
    assert not ground.any()


def test_a_box_cuts_at_the_pixels_whose_centre_it_holds() -> None:
    masks = np.ones((1, 6, 8), bool)
    said = put_together(
        masks, np.array([1]), np.array([0.9]), np.array([[1.6, 2.0, 4.4, 9.0]]), np.zeros((6, 8), np.uint8)
    )
    assert sorted(set(np.argwhere(said.instances)[:, 1].tolist())) == [2, 3]
    assert sorted(set(np.argwhere(said.instances)[:, 0].tolist())) == [2, 3, 4, 5]


def test_ten_thousand_crowded_pictures() -> None:
    rng = np.random.default_rng(0)
    height, width = 12, 14
    y, x = np.mgrid[:height, :width] + 0.5
    for _ in range(10_000):
        n = int(rng.integers(1, 9))
        corner, side = rng.uniform(-3, 12, (n, 2)), rng.uniform(0, 10, (n, 2))
        boxes = np.concatenate([corner, corner + side], 1)
        masks = rng.random((n, height, width)) < rng.uniform(0.1, 1)
        classes, scores = rng.integers(1, 4, n), rng.random(n).round(1)
        said = put_together(masks, classes, scores, boxes, np.zeros((height, width), np.uint8))
        owners = np.zeros((height, width), int)
        order = np.argsort(-scores, kind="stable").tolist()
        left: list[int] = []
        for number in sorted(said.scores):
            own = said.instances == number
            owners += own
            assert own.any()
            alike = [i for i in order if scores[i] == said.scores[number] and i not in left]
            fitting = [i for i in alike if masks[i][own].all() and inside(own, boxes[i], x, y)]
            assert fitting  # it is one of the given objects, inside its own mask and its own box
            left.append(fitting[0])
            assert len(set(said.mask[own].tolist())) == 1
        assert owners.max(initial=0) <= 1
        assert (said.mask[owners == 0] == 0).all()


def inside(own: np.ndarray, box: np.ndarray, x: np.ndarray, y: np.ndarray) -> bool:
    x0, y0, x1, y1 = box
    return bool(((x[own] >= x0) & (x[own] < x1) & (y[own] >= y0) & (y[own] < y1)).all())
