"""Which samples the uncertainty filter keeps, over sets of any size: scores wait in a file, not in memory."""

import math
import tempfile
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
from jaxtyping import Bool, Float32, UInt32

from labelfactory.limits import UNFIT

BLOCK = 1 << 20  # samples that are looked at together


def kept_of(quantile: float, count: int) -> int:
    """Samples that are kept of ``count``: ``ceil(quantile * count)``.

    As a decimal fraction: 0.9 of 1,000 is exactly 900, whatever binary floating point makes of 0.9.
    """
    return math.ceil(Fraction(repr(quantile)) * count)


def keep_mask(scores: Float32[np.ndarray, "sample"], quantile: float) -> Bool[np.ndarray, "sample"]:
    """True for the ``ceil(quantile * n)`` samples of lowest uncertainty; among equal scores the lower index is kept.

    A score of ``limits.UNFIT`` or more is never kept: whatever made the sample says that its labels do not fit.
    DatasetGAN (Zhang et al., CVPR 2021, section 3.2) drops the 10 % of samples that its ensemble is least sure of.
    ``Scores.keep`` gives the same of sets that do not fit into memory.
    """
    kept = kept_of(quantile, len(scores))
    keep = np.zeros(len(scores), dtype=bool)
    keep[np.argsort(scores, kind="stable")[:kept]] = True
    return keep & (scores < UNFIT)


def _ordered(scores: Float32[np.ndarray, "n"]) -> UInt32[np.ndarray, "n"]:
    """Whole numbers in the order of the scores: the bits of a float, those of negative ones turned round."""
    bits = (scores + np.float32(0)).view(np.uint32)  # -0.0 + 0 is 0.0: the two are equal
    return np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))


class Scores:
    """``uncertainty_score`` of a whole set in an unnamed temporary file: 4 bytes a sample there, 12 MB in memory."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="labelfactory-scores-")  # noqa: SIM115 - closed by __exit__
        self.count = 0

    def __enter__(self) -> "Scores":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def append(self, scores: Float32[np.ndarray, "n"]) -> None:
        self._file.write(np.ascontiguousarray(scores, np.float32).tobytes())
        self.count += len(scores)

    def _blocks(self, sizes: Iterator[int]) -> Iterator[Float32[np.ndarray, "n"]]:
        self._file.seek(0)
        for size in sizes:
            yield np.frombuffer(self._file.read(4 * size), np.float32)

    def _even_blocks(self) -> Iterator[Float32[np.ndarray, "n"]]:
        return self._blocks(min(BLOCK, self.count - start) for start in range(0, self.count, BLOCK))

    def _limit(self, kept: int) -> tuple[int, int]:
        """The ``kept``-th lowest score as ``_ordered`` gives it, and how many of those equal to it are kept.

        Counted by the upper 16 bits, then by the lower 16 of those that share the upper ones: exact, in two passes.
        """
        limit, rest = 0, kept
        for shift in (16, 0):
            counts = np.zeros(1 << 16, np.int64)
            for block in self._even_blocks():
                numbers = _ordered(block)
                if shift == 0:
                    numbers = numbers[numbers >> 16 == limit >> 16]
                counts += np.bincount((numbers >> shift) & 0xFFFF, minlength=1 << 16)
            ends = np.cumsum(counts)
            found = int(np.searchsorted(ends, rest))
            rest -= int(ends[found - 1]) if found else 0
            limit |= found << shift
        return limit, rest

    def keep(self, quantile: float, sizes: Iterator[int]) -> Iterator[Bool[np.ndarray, "n"]]:
        """``keep_mask`` of all scores, cut into pieces of these sizes."""
        limit, equal = self._limit(kept_of(quantile, self.count))
        left = np.zeros(0, bool)  # looked at and not yet given
        blocks = self._even_blocks()
        for size in sizes:
            while len(left) < size:
                block = next(blocks)
                numbers = _ordered(block)
                keep = numbers < limit
                same = np.flatnonzero(numbers == limit)[:equal]
                keep[same] = True
                equal -= len(same)
                left = np.concatenate([left, keep & (block < UNFIT)])
            yield left[:size]
            left = left[size:]
