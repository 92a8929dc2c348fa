"""Walks through latent space: which sequence and frame a sample is, and the rule of the frames' latents."""

import numpy as np

from labelfactory.array_types import UInt64

WALK_RULE = (
    "sequence[i], frame[i] = divmod(i, walk); first = sequence[i] * walk; a = frame[i] * walk_degrees / walk; "
    "latent[i] = cos(a) z(first) + sin(a) z(first + 1), in float32, where z(j) is the latent that seed_rule gives "
    "sample j; condition[i] = condition[first]"
)


def frames_at(walk: int, indices: UInt64[np.ndarray, "n"]) -> tuple[UInt64[np.ndarray, "n"], UInt64[np.ndarray, "n"]]:
    """Number of the sequence that each sample is in, and its place in it; ``walk`` frames are a sequence."""
    sequence, frame = np.divmod(indices, np.uint64(walk))
    return sequence, frame
