"""Votes and divergences: known values, and the streamed form equal to the formulas."""

import math

import torch
from hypothesis import given
from hypothesis import strategies as st
from interpreter_world import calm

from labelfactory.interpreters import js_divergence
from labelfactory.interpreters.uncertainty import image_score, majority_vote, streamed_vote


def test_members_that_agree_have_no_divergence() -> None:
    p = torch.tensor([[0.2, 0.3, 0.5]]).expand(4, 7, 3)
    assert js_divergence(p).shape == (7,)
    assert js_divergence(p).abs().max() < 1e-6


def test_members_that_contradict_each_other_have_the_greatest() -> None:
    assert math.isclose(js_divergence(torch.eye(2)), math.log(2), rel_tol=1e-6)
    assert math.isclose(js_divergence(torch.eye(5)), math.log(5), rel_tol=1e-6)


def test_unsure_members_that_agree_are_not_contested() -> None:
    """Entropy of the mean would call this uncertain; the divergence asks whether the members differ."""
    assert js_divergence(torch.full((10, 4), 0.25)) == 0


def test_votes_count_and_ties_go_to_the_higher_mean_probability() -> None:
    sure, unsure = [0.0, 0.1, 0.9], [0.6, 0.4, 0.0]
    assert majority_vote(torch.tensor([sure, unsure, unsure])) == 0
    assert majority_vote(torch.tensor([sure, unsure])) == 2


def test_an_image_is_as_uncertain_as_its_worst_tenth() -> None:
    pixels = torch.zeros(2, 10, 10)
    pixels[0, 3, :], pixels[1, 0, 0] = 0.5, 0.5
    assert image_score(pixels).tolist() == [0.5, 0.05000000074505806]
    assert image_score(torch.full((1, 1, 3), 0.25)).tolist() == [0.25]


@calm
@given(
    members=st.integers(1, 11), classes=st.integers(2, 40), scale=st.sampled_from([0.1, 3.0, 300.0]), seed=st.integers()
)
def test_the_streamed_form_equals_the_formulas(members: int, classes: int, scale: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed % 2**63)
    logits = scale * torch.randn(members, classes, 50, generator=generator)
    mask, uncertainty = streamed_vote(logits)
    p = logits.double().softmax(1).movedim(1, -1)
    top = (torch.nn.functional.one_hot(p.argmax(-1), classes).sum(0) + 0.5 * p.mean(0)).topk(2).values
    clear = top[:, 0] - top[:, 1] > 1e-5  # float32 cannot settle closer ties
    assert torch.equal(mask[clear], majority_vote(p)[clear])
    torch.testing.assert_close(uncertainty.double(), js_divergence(p), rtol=0, atol=2e-5)
