"""Random choices of a training step that depend on (seed, step) alone: a resumed run repeats the uninterrupted one."""

import numpy as np


def real_indices(count: int, position: int, batch: int, seed: int) -> list[int]:
    """The images of the batch after ``position`` images: each epoch has an order of its own and every image once."""
    found: list[int] = []
    while len(found) < batch:
        epoch, offset = divmod(position + len(found), count)
        order = np.random.Generator(np.random.PCG64([seed, epoch])).permutation(count)
        found += order[offset : offset + batch - len(found)].tolist()
    return found


def seed_of(seed: int, step: int, stream: int) -> int:
    """A seed for torch: 63 bits that differ for every (seed, step, stream)."""
    return int(np.random.SeedSequence([seed, step, stream]).generate_state(1, np.uint64)[0] >> np.uint64(1))
