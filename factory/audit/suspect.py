"""A pair whose label is likely wrong."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Suspect:
    """A pair whose label is likely wrong.

    index   number of the pair; of a store the sample's own index
    name    of the file, where the pair has one
    score   how far the label is from what the judge expects, in standard deviations
    window  top, left and side of the square where it is, in pixels
    given   class that the label has there mostly, where they differ
    wanted  class that the judge sees instead
    """

    index: int
    name: str
    score: float
    window: tuple[int, int, int]
    given: str
    wanted: str
