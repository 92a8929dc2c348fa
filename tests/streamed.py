"""What streams of batches give, told by the samples' seeds."""

import itertools
import json
from typing import Any

import numpy as np

from labelfactory.storage.torch_dataset import StreamLoader


def seeds_of(batches: Any) -> list[int]:
    return [seed for batch in batches for seed in np.atleast_1d(np.asarray(batch["seed"]).view(np.uint64)).tolist()]


def run_on(loaders: list[StreamLoader], state: Any, steps: int) -> tuple[list[int], list[Any]]:
    """What the ranks' loaders give in so many steps from a state on, step by step, and the states after that."""
    for loader in loaders:
        if state is not None:
            loader.load_state_dict(json.loads(json.dumps(state)))
    running = [itertools.chain.from_iterable(itertools.repeat(loader)) for loader in loaders]
    given = [[seeds_of([next(iterator)]) for iterator in running] for _ in range(steps)]
    states = [loader.state_dict() for loader in loaders]
    for loader in loaders:
        loader.close()
    return [seed for step in given for batch in step for seed in batch], states
