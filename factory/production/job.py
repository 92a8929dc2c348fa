"""A job for the production line: what is to be made, and where its models lie."""

from dataclasses import dataclass, field
from typing import Any

from labelfactory.storage import DatasetSpec

SYNTHESIS = "synthesis"  # the label kind of stores whose pictures are made from masks (``synthesising``)
RESTYLED = "restyled"  # of stores whose pictures are those of other pairs in another style (``restyle.rendering``)
PSEUDO = "pseudo-labels"  # of stores whose masks segmenters gave to pictures (``restyle.pseudo_rendering``)


@dataclass(frozen=True)
class Job:
    """An order with everything found and checked; small enough to send to any worker.

    out          where the store is
    spec         what the store is; it names the generator's place, and every model by its hash
    interpreter  file of the interpreter; where a machine has it not, the store's copy serves
    heads        file of each label kind's model, likewise
    """

    out: str
    spec: DatasetSpec
    interpreter: str = ""
    device: str = "auto"
    storage_options: dict[str, Any] = field(default_factory=dict, hash=False)
    heads: dict[str, str] = field(default_factory=dict, hash=False)
