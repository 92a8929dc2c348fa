"""In which order an epoch reads its samples: shards and blocks shuffled, so that disk and network see long reads."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from labelfactory.errors import InputError


@dataclass(frozen=True)
class Shuffle:
    """How an epoch is mixed. Everything follows from ``seed`` and the epoch's number.

    ``block`` neighbouring samples are read at once; the blocks of ``shards_in_flight`` shards are dealt in random
    order; the samples of ``window`` blocks are mixed with each other. A consumer holds two windows in memory.
    """

    seed: int = 0
    block: int = 16
    shards_in_flight: int = 16
    window: int = 16
    enabled: bool = True

    def __post_init__(self) -> None:
        for name in ("block", "shards_in_flight", "window"):
            if getattr(self, name) < 1:
                raise InputError(f"shuffle {name} is {getattr(self, name)}: expected 1 or more")


@dataclass(frozen=True)
class Plan:
    """One consumer's epoch: places in the data set's list of samples, in reading order, and where windows end."""

    places: Int[np.ndarray, "n"]
    window_ends: Int[np.ndarray, "windows"]


def plan_epoch(
    samples: Int[np.ndarray, "kept"],
    samples_per_shard: int,
    shuffle: Shuffle,
    epoch: int,
    rank: int = 0,
    ranks: int = 1,
    worker: int = 0,
    workers: int = 1,
) -> Plan:
    """The part of one worker of one rank. The parts are disjoint; every rank reads the same number of samples (so that
    none waits for another at the end), hence up to ``ranks - 1`` samples of the set stay unread in an epoch.
    """
    if not (0 <= rank < ranks and 0 <= worker < workers):
        raise InputError(f"rank {rank} of {ranks}, worker {worker} of {workers}: expected numbers below the totals")
    starts, stops, shards = _blocks(samples, samples_per_shard, shuffle.block)
    order = np.arange(len(starts))
    if shuffle.enabled:
        rng = np.random.default_rng([shuffle.seed, epoch])
        turn = rng.permutation(int(shards.max(initial=0)) + 1)[shards] // shuffle.shards_in_flight
        order = np.lexsort((rng.random(len(starts)), turn))
    lengths = (stops - starts)[order]
    # Every block's places, laid end to end: its start, counted up.
    places = np.repeat(starts[order] - (np.cumsum(lengths) - lengths), lengths) + np.arange(len(samples))
    block = np.repeat(np.arange(len(order)), lengths)

    share = len(samples) // ranks
    first = rank * share + share * worker // workers
    last = rank * share + share * (worker + 1) // workers
    places, block = places[first:last], block[first:last]
    window = (block - block[:1].sum()) // shuffle.window
    if shuffle.enabled:
        rng = np.random.default_rng([shuffle.seed, epoch, rank * workers + worker + 1])
        places = places[np.lexsort((rng.random(len(places)), window))]
    return Plan(places, np.flatnonzero(np.diff(window, append=-1)) + 1)


def _blocks(
    samples: Int[np.ndarray, "kept"], samples_per_shard: int, block: int
) -> tuple[Int[np.ndarray, "blocks"], Int[np.ndarray, "blocks"], Int[np.ndarray, "blocks"]]:
    """Start and stop (in ``samples``) of every block, and its shard. A block never reaches over a shard's end."""
    shard, slot = np.divmod(samples, samples_per_shard)
    key = shard * (samples_per_shard // block + 1) + slot // block
    starts = np.flatnonzero(np.diff(key, prepend=-1))
    return starts, np.append(starts[1:], len(samples))[: len(starts)], shard[starts]
