"""Networks of a lower resolution as the start of networks of a higher one.

Training at half the resolution costs a third of the time an image and settles shape and colour; what is left to learn
at the full one is detail (the thought of progressive growing, arXiv 1710.10196, without its fading: the new blocks
begin by adding nothing to the picture).
"""

from typing import TypeVar

import torch

from labelfactory.errors import InputError
from labelfactory.factory.stylegan2_ada.discriminator import Discriminator
from labelfactory.factory.stylegan2_ada.networks import Generator

Network = TypeVar("Network", Generator, Discriminator)


def grown(network: Network, resolution: int) -> Network:
    """A network of ``resolution`` px a side that has all weights of ``network`` whose places it shares.

    A generator's picture is at first the smaller one's, upsampled. The discriminator's finest blocks are new. Raises
    InputError for networks of other widths than ``channel_base`` and ``channel_max`` say, or that are not square.
    """
    config = network.config
    if config.get("channels") or tuple(config.get("start") or (4, 4)) != (4, 4):
        raise InputError(
            "the checkpoint is a fork's of other widths or not square; expected the usual ones to grow from"
        )
    larger = type(network)(**config | {"img_resolution": resolution})
    own = larger.state_dict()
    kept = {
        name: value for name, value in network.state_dict().items() if name in own and value.shape == own[name].shape
    }
    larger.load_state_dict(own | kept)
    if isinstance(larger, Generator):
        with torch.no_grad():
            side = 2 * network.img_resolution
            while side <= resolution:
                rgb = getattr(larger.synthesis, f"b{side}").torgb
                rgb.weight.zero_()
                rgb.bias.zero_()
                side *= 2
    return larger
