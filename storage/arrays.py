"""The arrays of a store, as data: what each is called, what its numbers mean, and which model made them."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from labelfactory.errors import InputError
from labelfactory.limits import HALF_MAX

_ITEM_BYTES = {"bool": 1, "uint8": 1, "uint16": 2, "float16": 2, "float32": 4, "uint64": 8}

# What an array is for. Readers, checks, pictures and exports ask for these, never for a label kind.
LABEL_ROLES = {
    "points": "x, y in pixels and confidence of each named point",
    "points uncertainty": "doubt of each point, in pixels",
    "values": "one number for each pixel and channel",
    "values uncertainty": "doubt of each value",
    "objects": "number of the object that a pixel belongs to, 0 for none",
    "label": "any other label",
}
ROLES = {
    "image": "the picture",
    "mask": "class id of each pixel",
    "uncertainty": "doubt of the mask, for each pixel",
    "score": "doubt of the whole picture, one number",
    "seed": "seed of the sample",
    "latent": "what the generator made the picture from",
    "condition": "class of a conditional generator that the picture is of",
    "sequence": "number of the walk through latent space that the sample is a frame of",
    "frame": "place of the sample in its sequence",
    "keep": "whether readers use the sample by default",
    **LABEL_ROLES,
}


@dataclass(frozen=True)
class ValueInfo:
    """One channel of an array: a name, a unit ("" for none) and the range that its numbers stay in (infinite: any)."""

    name: str
    unit: str = ""
    low: float = -math.inf
    high: float = math.inf

    def __post_init__(self) -> None:
        for bound in ("low", "high"):
            object.__setattr__(self, bound, float(getattr(self, bound)))
        bounded = -HALF_MAX <= self.low < self.high <= HALF_MAX
        if not self.name or not (bounded or (self.low, self.high) == (-math.inf, math.inf)):
            raise InputError(
                f"value {self.name!r} from {self.low} to {self.high}: expected a name and a range within +-{HALF_MAX}"
            )

    @property
    def bounded(self) -> bool:
        return math.isfinite(self.low)

    def to_json(self) -> dict[str, Any]:
        bounds = {"low": self.low, "high": self.high} if self.bounded else {}
        return {"name": self.name, "unit": self.unit, **bounds}


@dataclass(frozen=True)
class ArraySpec:
    """One array of the store; its first dimension is always ``sample``.

    dims, sample_shape  names of all dimensions; sizes of those after ``sample``
    fill_value          what unwritten samples read as; "NaN" as in Zarr's metadata
    per_sample          True: a chunk is one sample inside a sharded file; False: a chunk is one shard's whole range
    role                a key of ``ROLES``
    head                the label kind that makes it; "" for what every store has
    model               sha256 of the file that made it, "" where no model of its own did
    channels            what the entries of ``channel_dim`` are; of an array without such a dimension one at most
    written_last        made by finalize, over the whole set
    packing             a key of ``packing.PACKINGS``
    """

    name: str
    dtype: str
    dims: tuple[str, ...]
    sample_shape: tuple[int, ...]
    fill_value: int | float | bool | str
    per_sample: bool
    role: str = "label"
    head: str = ""
    model: str = ""
    channels: tuple[ValueInfo, ...] = ()
    written_last: bool = False
    packing: str = ""

    def __post_init__(self) -> None:
        sound = {
            "name": re.fullmatch("[a-z][a-z0-9_]*", self.name) is not None,
            "dtype": self.dtype in _ITEM_BYTES,
            "dims": self.dims[:1] == ("sample",)
            and len(set(self.dims)) == len(self.dims) == len(self.sample_shape) + 1,
            "sample_shape": all(type(n) is int and n >= 1 for n in self.sample_shape),
            "role": self.role in ROLES,
            "model": re.fullmatch("([0-9a-f]{64})?", self.model) is not None,
            "channels": len(self.channels) in (0, self.channel_count),
        }
        for field, fits in sound.items():
            if not fits:
                raise InputError(f"array {self.name!r}: {field} is {getattr(self, field)!r}, which no array can have")
        names = [channel.name for channel in self.channels]
        if len(set(names)) < len(names):
            raise InputError(f"array {self.name!r}: channels are {names}: expected different names")

    @property
    def channel_dim(self) -> int | None:
        """Place of the dimension whose entries ``channels`` describes: the first that is not sample, y, x."""
        return next((i for i, dim in enumerate(self.dims) if dim not in ("sample", "y", "x")), None)

    @property
    def channel_count(self) -> int:
        return 1 if self.channel_dim is None else self.sample_shape[self.channel_dim - 1]

    @property
    def sample_bytes(self) -> int:
        return _ITEM_BYTES[self.dtype] * math.prod(self.sample_shape)

    def chunk_path(self, shard: int) -> str:
        return f"{self.name}/c/{shard}" + "/0" * len(self.sample_shape)

    def to_json(self) -> dict[str, Any]:
        """As the root attributes list it."""
        return {
            "name": self.name,
            "dtype": self.dtype,
            "dims": list(self.dims),
            "sample_shape": list(self.sample_shape),
            "fill_value": self.fill_value,
            "per_sample": self.per_sample,
            "role": self.role,
            "head": self.head,
            "model": self.model,
            "channels": [channel.to_json() for channel in self.channels],
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "ArraySpec":
        """KeyError, TypeError or InputError for what ``to_json`` did not write."""
        lists = {"dims": tuple(document["dims"]), "sample_shape": tuple(document["sample_shape"])}
        channels = tuple(ValueInfo(**channel) for channel in document["channels"])
        return cls(**{**document, **lists, "channels": channels})
