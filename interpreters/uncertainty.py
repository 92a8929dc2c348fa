"""From the members' class probabilities to one label, one divergence per pixel and one score per image."""

import math

import torch
from torch import Tensor

from labelfactory.interpreters.array_types import Float, Int

TOP_FRACTION = 0.1  # of an image's pixels; DatasetGAN section 3.2 ranks images by their most contested pixels


def entropy(probabilities: Float[Tensor, "*any classes"]) -> Float[Tensor, "*any"]:
    """H(p) = -sum_c p_c ln p_c in nats, with 0 ln 0 = 0."""
    return -torch.special.xlogy(probabilities, probabilities).sum(-1)


def js_divergence(probabilities: Float[Tensor, "members *any classes"]) -> Float[Tensor, "*any"]:
    """Jensen-Shannon divergence of the members, in nats (DatasetGAN, arXiv 2104.06490, section 3.2).

    JS(p_1 .. p_N) = H(1/N sum_m p_m) - 1/N sum_m H(p_m), between 0 (all members agree) and ln(min(N, classes)).
    """
    return (entropy(probabilities.mean(0)) - entropy(probabilities).mean(0)).clamp_min(0)


def majority_vote(probabilities: Float[Tensor, "members *any classes"]) -> Int[Tensor, "*any"]:
    """The class that most members prefer; where votes tie, the tied class with the higher mean probability."""
    votes = torch.nn.functional.one_hot(probabilities.argmax(-1), probabilities.shape[-1]).sum(0)
    # a mean probability is at most 1: half of it never outweighs a vote
    return (votes + 0.5 * probabilities.mean(0)).argmax(-1)


def image_score(uncertainty: Float[Tensor, "batch height width"]) -> Float[Tensor, "batch"]:
    """Mean uncertainty of an image's top 10 % most uncertain pixels (at least one pixel), in nats."""
    pixels = uncertainty.flatten(1).float()
    return pixels.topk(max(1, math.ceil(TOP_FRACTION * pixels.shape[1])), dim=1, sorted=False).values.mean(1)


def streamed_vote(
    logits: Float[Tensor, "members classes pixels"],
) -> tuple[Int[Tensor, "pixels"], Float[Tensor, "pixels"]]:
    """``majority_vote`` and ``js_divergence`` of the members' softmax in few passes over a tile that is in cache.

    With z = logit - max and s = sum_c e^z: p = e^z / s, and a member's entropy is H(p) = ln s - sum_c p z.
    """
    # e^-80 is far below float32's resolution of 1 and still a normal number: subnormal ones are slow on a CPU
    z = (logits - logits.amax(1, keepdim=True)).clamp_min_(-80)
    p = z.exp()
    s = p.sum(1, keepdim=True)
    p /= s
    mean = p.mean(0)
    votes = (1 + 1e30 * z).clamp_min_(0).sum(0)  # 1 where z is 0: comparing gives booleans, which are slow to add
    mean_entropy = (s.log_()[:, 0] - z.mul_(p).sum(1)).mean(0)
    uncertainty = -(mean * mean.clamp_min(1e-38).log_()).sum(0) - mean_entropy
    return votes.add_(mean, alpha=0.5).max(0).indices, uncertainty.clamp_min_(0)
