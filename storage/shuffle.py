"""In which order an epoch is read: a function of (seed, epoch, position) alone, computed where it is needed.

Nobody's number of ranks, workers or samples read ahead enters, so a run may stop at any position and go on with others.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int, UInt64

from labelfactory.errors import InputError

ROUNDS = 6  # of the Feistel network; four make it a pseudo-random permutation (Luby and Rackoff, 1988)
_SEGMENTS, _TURN, _BLOCKS, _WINDOW = range(4)  # what a hash is for


@dataclass(frozen=True)
class Shuffle:
    """How an epoch is mixed. Everything follows from ``seed`` and the epoch's number.

    ``block`` neighbouring samples are read at once; the blocks of ``shards_in_flight`` shards' worth of samples are
    dealt in random order; the samples of ``window`` blocks are mixed with each other.
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
        if not 0 <= self.seed < 2**63:
            raise InputError(f"shuffle seed is {self.seed}: expected 0 to 2**63 - 1")

    @property
    def window_samples(self) -> int:
        """Samples that are mixed with each other, and that lie in ``window`` runs of neighbours."""
        return self.block * self.window


class EpochOrder:
    """The order of ``count`` samples in any epoch. Memory is that of one group of shards, whatever ``count`` is.

    The samples are turned by a random amount, as on a ring, and cut into segments of a shard's length, which are
    permuted by a Feistel network; the blocks of ``shards_in_flight`` segments are shuffled, and then the samples of
    each window of blocks. A segment or block that is not full comes last in its group; the turning moves it in every
    epoch.
    """

    def __init__(self, count: int, samples_per_shard: int, shuffle: Shuffle) -> None:
        self.count, self.shuffle = count, shuffle
        self._segment = max(1, samples_per_shard // shuffle.block) * shuffle.block
        self._group = self._segment * shuffle.shards_in_flight
        # The last ones made, each with what it was made for: runs ask for neighbouring positions.
        self._last_blocks: tuple[tuple[int, ...], np.ndarray] | None = None
        self._last_window: tuple[tuple[int, ...], np.ndarray] | None = None

    def places(self, epoch: int, start: int, stop: int) -> Int[np.ndarray, "n"]:
        """The samples (0 to ``count - 1``) at positions ``start`` to ``stop - 1`` of an epoch."""
        if not 0 <= start <= stop <= self.count:
            raise InputError(f"positions {start} to {stop}: expected a range within 0 to {self.count}")
        if not self.shuffle.enabled:
            return np.arange(start, stop)
        parts, at = [np.zeros(0, np.int64)], start
        while at < stop:
            group, inside = divmod(at, self._group)
            window, offset = divmod(inside, self.shuffle.window_samples)
            parts.append(self._window(epoch, group, window)[offset : offset + stop - at])
            at += len(parts[-1])
        return np.concatenate(parts)

    def _window(self, epoch: int, group: int, window: int) -> Int[np.ndarray, "n"]:
        """One window's samples, mixed."""
        last, made_for = self._last_window, (epoch, group, window)
        if last is None or last[0] != made_for:
            last = self._last_window = made_for, self._mixed_window(epoch, group, window)
        return last[1]

    def _mixed_window(self, epoch: int, group: int, window: int) -> Int[np.ndarray, "n"]:
        shuffle, seed = self.shuffle, self.shuffle.seed
        starts = self._blocks(epoch, group)[window * shuffle.window : (window + 1) * shuffle.window]
        inside = starts[:, None] + np.arange(shuffle.block)
        places = inside[inside < self.count]
        places = places[ordered_by_hash(len(places), seed, epoch, _WINDOW, group, window)]
        return (places + _key(seed, epoch, _TURN) % self.count) % self.count

    def _blocks(self, epoch: int, group: int) -> Int[np.ndarray, "blocks"]:
        """Where the blocks of a group of segments start, before turning, in the order of reading."""
        last, made_for = self._last_blocks, (epoch, group)
        if last is None or last[0] != made_for:
            last = self._last_blocks = made_for, self._dealt_blocks(epoch, group)
        return last[1]

    def _dealt_blocks(self, epoch: int, group: int) -> Int[np.ndarray, "blocks"]:
        shuffle, full = self.shuffle, self.count // self._segment
        chosen = np.arange(group * shuffle.shards_in_flight, min((group + 1) * shuffle.shards_in_flight, full))
        chosen = _permuted(_key(shuffle.seed, epoch, _SEGMENTS), full, chosen)
        starts = (chosen[:, None] * self._segment + np.arange(0, self._segment, shuffle.block)).reshape(-1)
        short: list[int] = []
        if (group + 1) * self._group > full * self._segment:  # the last group has what fills no segment
            whole = self.count - self.count % shuffle.block
            starts = np.concatenate([starts, np.arange(full * self._segment, whole, shuffle.block)])
            short = [whole] if whole < self.count else []
        starts = starts[ordered_by_hash(len(starts), shuffle.seed, epoch, _BLOCKS, group)]
        return np.append(starts, np.array(short, np.int64))


def _mixed(values: UInt64[np.ndarray, "..."]) -> UInt64[np.ndarray, "..."]:
    """A bijection of 64-bit words that looks random: SplitMix64's (Steele, Lea and Flood, OOPSLA 2014, figure 19)."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _key(*words: int) -> int:
    """One 64-bit key of several numbers (each 0 to 2**64 - 1)."""
    data = b"".join(word.to_bytes(8, "little") for word in words)
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")


def ordered_by_hash(count: int, *words: int) -> Int[np.ndarray, "n"]:
    """The permutation of ``count`` places that belongs to these numbers. (NumPy's own may change between versions.)"""
    return np.argsort(_mixed(_mixed(np.arange(count, dtype=np.uint64)) ^ np.uint64(_key(*words))))


def _permuted(key: int, count: int, places: Int[np.ndarray, "n"]) -> Int[np.ndarray, "n"]:
    """Where ``places`` go in a permutation of ``count``, without making the rest of it.

    A Feistel network over the next power of four; what falls outside ``count`` is sent through once more until it does
    not (cycle walking: Black and Rogaway, "Ciphers with arbitrary finite domains", CT-RSA 2002).
    """
    half = np.uint64(max(1, -(-(max(1, count - 1)).bit_length() // 2)))
    mask = (np.uint64(1) << half) - np.uint64(1)
    keys = [np.uint64(_key(key, turn)) for turn in range(ROUNDS)]
    values = places.astype(np.uint64)
    outside = np.ones(len(values), dtype=bool)
    while outside.any():
        left, right = values[outside] >> half, values[outside] & mask
        for round_key in keys:
            left, right = right, left ^ (_mixed(right ^ round_key) & mask)
        values[outside] = (left << half) | right
        outside = values >= np.uint64(count)
    return values.astype(np.int64)
