"""Conditions: classes, what is not labelled, edges of objects."""

import pytest
import torch

from labelfactory.errors import InputError
from labelfactory.factory.translation.condition import channels_of, condition_of, instance_edges, soft_condition


def test_a_channel_for_each_class_and_one_for_what_is_not_labelled() -> None:
    masks = torch.tensor([[[0, 1], [2, 255]]])
    found = condition_of(masks, 3)
    assert found.shape == (1, channels_of(3, edges=False), 2, 2)
    assert found.sum(1).eq(1).all()
    assert found[0, :, 1, 1].tolist() == [0, 0, 0, 1]
    with pytest.raises(InputError, match="value 3; expected classes 0 to 2, or 255"):
        condition_of(torch.tensor([[[3]]]), 3)


def test_edges_are_where_objects_meet() -> None:
    instances = torch.tensor([[[1, 1, 2, 2], [1, 1, 2, 2], [0, 0, 0, 0]]])
    edges = instance_edges(instances)[0]
    assert edges.int().tolist() == [[0, 1, 1, 0], [1, 1, 1, 1], [1, 1, 1, 1]]
    assert not instance_edges(torch.full((1, 4, 4), 7)).any()
    found = condition_of(torch.zeros(1, 3, 4, dtype=torch.long), 2, instances)
    assert found.shape[1] == channels_of(2, edges=True)
    assert torch.equal(found[0, -1], edges.float())


def test_probabilities_become_a_condition_with_gradients() -> None:
    logits = torch.randn(1, 3, 4, 4, requires_grad=True)
    unknown = torch.zeros(1, 4, 4, dtype=torch.bool)
    unknown[..., 0] = True
    found = soft_condition(logits.softmax(1), unknown)
    assert torch.allclose(found.sum(1), torch.ones(1, 4, 4))
    assert found[0, 3, :, 0].eq(1).all()
    found[:, 0].sum().backward()
    assert logits.grad is not None
    assert logits.grad[..., 0].abs().sum() == 0  # where nobody knows, nobody is taught
    assert logits.grad[..., 1:].abs().sum() > 0
    sure = torch.zeros(1, 3, 2, 2)
    sure[:, 1] = 1
    assert torch.equal(soft_condition(sure, torch.zeros(1, 2, 2, dtype=torch.bool)), condition_of(sure.argmax(1), 3))
