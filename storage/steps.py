"""Which positions of an epoch each step of a run reads: equal batches for all ranks, from any position on."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count as counting

from labelfactory.errors import InputError


@dataclass(frozen=True)
class Step:
    """One batch of one rank: positions ``start`` to ``stop - 1`` of an epoch.

    ``end`` is where the run stands once every rank has read its batch.
    """

    epoch: int
    start: int
    stop: int
    end: int


@dataclass(frozen=True)
class Steps:
    """A run's steps over epochs of ``count`` positions. In one step the ranks read one batch each, side by side.

    What is left at the end of an epoch is one shorter step of equal parts; ``ranks - 1`` samples at most stay unread
    then, others in every epoch. ``drop_last`` leaves the shorter step out.
    """

    count: int
    batch: int
    ranks: int = 1
    rank: int = 0
    drop_last: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.ranks:
            raise InputError(f"rank {self.rank} of {self.ranks}: expected a number below the total")
        if self.per_epoch == 0:
            raise InputError(
                f"{self.count} samples give no batch of {self.batch} to each of {self.ranks} ranks: expected more "
                "samples, fewer ranks" + (", or drop_last=False" if self.drop_last else "")
            )

    @property
    def per_epoch(self) -> int:
        """Steps of an epoch from its beginning."""
        return self.left(0)

    def left(self, position: int) -> int:
        """Steps from a position to the end of its epoch."""
        whole, rest = divmod(self.count - position, self.batch * self.ranks)
        return whole + (rest >= self.ranks and not self.drop_last)

    def step(self, epoch: int, position: int, number: int) -> Step:
        """The ``number``-th step (from 0) of a run that starts at a position; it may lie in a later epoch."""
        left = self.left(position)
        if number >= left:
            later, number = divmod(number - left, self.per_epoch)
            epoch, position = epoch + 1 + later, 0
        position += number * self.batch * self.ranks
        size = min(self.batch, (self.count - position) // self.ranks)
        start = position + self.rank * size
        return Step(epoch, start, start + size, position + size * self.ranks)

    def walk(self, epoch: int, position: int, first: int = 0, stride: int = 1) -> Iterator[Step]:
        """Every ``stride``-th step from the ``first`` on, without end."""
        return (self.step(epoch, position, number) for number in counting(first, stride))
