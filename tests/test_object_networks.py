"""Networks of objects against their papers: pooling, heads and targets by hand, sizes, sub-pixel places."""

import numpy as np
import pytest
import torch
from object_contract import batch_for
from object_world import CLASSES, POINTS

from labelfactory.factory.objects.centernet import CenterNet, Detections, nearest_boxes, radius_of
from labelfactory.factory.objects.cornernet import CornerNet, corner_pool, without_doubles
from labelfactory.factory.objects.hourglass import StackedHourglass
from labelfactory.factory.objects.integral_regression import IntegralRegression
from labelfactory.factory.objects.panoptic_deeplab import PanopticDeepLab, grouped
from labelfactory.factory.objects.targets import heat_of, things_of
from labelfactory.factory.objects.upsnet import panoptic_logits
from labelfactory.factory.pairs.augment import Batch
from labelfactory.factory.segmenters.tasks import Aim

INSTANCE, BOXES, POINT = Aim("instance", CLASSES), Aim("boxes", CLASSES), Aim("keypoints", CLASSES, POINTS)


def by_hand() -> Batch:
    """Two objects in the first picture, none in the second; one pixel of the first object is not labelled."""
    objects, masks = torch.zeros(2, 6, 8, dtype=torch.int64), torch.zeros(2, 6, 8, dtype=torch.int64)
    objects[0, 1:3, 1:4], objects[0, 2:6, 5:8] = 7, 3
    masks[objects > 0] = 2
    masks[0, 1, 1] = 255
    return Batch(torch.zeros(2, 1, 6, 8), masks, torch.ones(2, 6, 8), objects)


def test_objects_of_a_batch_have_centres_boxes_and_classes() -> None:
    things = things_of(by_hand())
    assert things.image.tolist() == [0, 0]
    assert things.label.tolist() == [2, 2]
    assert things.box.tolist() == [[5, 2, 8, 6], [1, 1, 4, 3]]  # in the order of their numbers
    assert things.centre.tolist() == [[6.5, 4], [2.5, 2]]
    assert things.masks().sum((1, 2)).tolist() == [12, 6]
    assert things.of(1).tolist() == []
    heat = heat_of(things, torch.zeros(2, dtype=torch.int64), 1, torch.tensor([1.0, 1.0]))
    assert heat.shape == (2, 1, 6, 8)
    assert heat[0, 0, 3, 6] == heat[0, 0, 1, 2] == 1
    assert not heat[1].any()


def test_targets_of_panoptic_deeplab_decode_to_the_objects() -> None:
    """What a perfect network would say comes out as the objects themselves, touching or not."""
    net = PanopticDeepLab(1, INSTANCE, 4, 1)
    batch = batch_for(net, INSTANCE, 48, 3)
    things = things_of(batch)
    y, x = torch.meshgrid(torch.arange(48) + 0.5, torch.arange(48) + 0.5, indexing="ij")
    for i in range(3):
        own = things.of(i)
        offset = torch.zeros(2, 48, 48)
        for k in own.tolist():
            inside = things.masks(torch.tensor([k]))[0]
            offset[:, inside] = things.centre[k][:, None] - torch.stack([x, y])[:, inside]
        numbers = grouped(batch.masks[i], offset, things.centre[own], [2])
        for place, k in enumerate(own.tolist(), 1):
            assert torch.equal(numbers == place, things.masks(torch.tensor([k]))[0])


def test_corner_pooling_is_the_paper_s_figure() -> None:
    """Figure 6: the highest value to the right plus the highest below, and backwards for the other corner."""
    x = torch.tensor([[2.0, 1, 3, 0, 2], [5, 4, 1, 1, 6], [3, 1, 3, 4, 0]])[None, None]
    n = x[0, 0].numpy()
    for upper_left in (True, False):
        expected = np.zeros_like(n)
        for r in range(3):
            for c in range(5):
                row, column = (n[r, c:], n[r:, c]) if upper_left else (n[r, : c + 1], n[: r + 1, c])
                expected[r, c] = row.max() + column.max()
        np.testing.assert_array_equal(corner_pool(x, upper_left)[0, 0].numpy(), expected)


def test_corners_may_move_by_the_radius_and_keep_seven_tenths() -> None:
    sides = torch.tensor([[10.0, 20.0], [40.0, 40.0], [7.0, 60.0]])
    for (w, h), r in zip(sides.tolist(), radius_of(sides).tolist(), strict=True):
        cases = [
            ((w - r) * (h - r)) / (2 * w * h - (w - r) * (h - r)),  # both in one direction
            (w - 2 * r) * (h - 2 * r) / (w * h),  # both inwards
            w * h / ((w + 2 * r) * (h + 2 * r)),  # both outwards
        ]
        assert min(cases) == pytest.approx(0.7, abs=1e-4) or r == 1


def test_a_pixel_joins_the_box_whose_centre_is_nearest() -> None:
    corners = torch.tensor([[0.0, 0, 8, 4], [4, 0, 12, 4]])
    found = Detections(corners, torch.tensor([2, 2]), torch.tensor([0.5, 0.9]), *(torch.zeros(2).long(),) * 2)
    labels = torch.full((4, 14), 2)
    labels[0] = 0
    masks = nearest_boxes(found, labels)
    assert not (masks[0] & masks[1]).any()
    assert masks[0][1:, :6].all()
    assert masks[1][1:, 6:12].all()
    assert not masks[:, 0].any()
    assert not masks[:, :, 12:].any()
    lonely = nearest_boxes(Detections(*(part[:0] for part in found)), labels)
    assert lonely.shape == (0, 4, 14)


def test_doubles_of_a_box_are_left_out_and_neighbours_stay() -> None:
    corners = torch.tensor([[0.0, 0, 10, 10], [1, 0, 11, 10], [20, 0, 30, 10], [0, 0, 10, 10]])
    labels, scores = torch.tensor([1, 1, 1, 2]), torch.tensor([0.6, 0.9, 0.5, 0.7])
    assert without_doubles(corners, labels, scores, 10).tolist() == [1, 3, 2]


def test_the_panoptic_head_has_no_parameters_and_objects_stay_in_their_boxes() -> None:
    torch.manual_seed(0)
    semantic, masks = torch.randn(3, 6, 8), torch.randn(2, 6, 8)
    boxes = torch.tensor([[0.0, 0, 4, 4], [2, 1, 8, 6]])
    z = panoptic_logits(semantic, masks, torch.tensor([2, 2]), boxes, [0, 1], [2])
    assert z.shape == (5, 6, 8)  # two uncountable classes, two objects, unknown
    assert torch.equal(z[:2], semantic[:2])
    assert torch.allclose(z[2, :4, :4], semantic[2, :4, :4] + masks[0, :4, :4])
    assert torch.allclose(z[4, 0, 7], semantic[2, 0, 7])  # no object took it up
    assert torch.allclose(z[4, 2, 3], semantic[2, 2, 3] - semantic[2, 2, 3])
    for low in (0.0, -1e3):  # however unlikely all else is, an object wins nowhere outside of its box
        owner = panoptic_logits(semantic + low, masks, torch.tensor([2, 2]), boxes, [0, 1], [2]).argmax(0)
        assert not (owner[4:, :2] == 2).any()
        assert not (owner[0] == 3).any()


def test_sizes_are_the_papers() -> None:
    """Eight hourglasses of 256 features and 4 poolings behind a stem of stride 4, for 16 points: 64 x 64 maps."""
    sixteen = Aim("keypoints", CLASSES, tuple(f"p{i}" for i in range(16)))
    with torch.device("meta"):
        net = StackedHourglass(3, sixteen, stacks=8, features=256, depth=4, stride=4)
        heats = net(torch.zeros(1, 3, 256, 256))
    assert sum(p.numel() for p in net.parameters()) == 25_434_112
    assert len(heats) == 8
    assert heats[-1].shape == (1, 16, 64, 64)
    with torch.device("meta"):
        x = torch.zeros(1, 1, 40, 56)
        centre = CenterNet(1, BOXES, 4, 1)(x)
        corner = CornerNet(1, BOXES, 4, 1)(x)
        deeplab = PanopticDeepLab(1, INSTANCE, 4, 1)(x)
    assert [tuple(t.shape[1:]) for t in centre[:4]] == [(1, 40, 56), (2, 40, 56), (2, 40, 56), (3, 40, 56)]
    assert [tuple(t.shape[1:]) for t in (*corner.heats, *corner.embeddings)] == [(1, 40, 56)] * 4
    assert [t.shape[1] for t in deeplab] == [3, 1, 2]


def test_points_are_read_to_a_fraction_of_a_pixel() -> None:
    wanted = torch.tensor([[[20.3, 11.8, 2], [5.5, 30.9, 2]]])
    hourglass = StackedHourglass(1, POINT, 1, 8, 2, stride=2)
    from labelfactory.interpreters.keypoints import heatmaps

    heat = heatmaps(wanted[0] * torch.tensor([0.5, 0.5, 1]), 20, 24, 1.5)[None]
    said = hourglass.decoded([heat], 40, 48)[0].keypoints
    assert said is not None
    np.testing.assert_allclose(said[:, :2], wanted[0, :, :2], atol=1e-3)
    regression = IntegralRegression(1, POINT, 4, 1)
    logits = heatmaps(wanted[0], 40, 48, 1.0).clamp_min(1e-30).log()[None]
    said = regression.decoded(logits, 40, 48)[0].keypoints
    assert said is not None
    np.testing.assert_allclose(said[:, :2], wanted[0, :, :2], atol=1e-2)
    assert (said[:, 2] > 0.95).all()
