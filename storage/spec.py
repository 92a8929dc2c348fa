"""What a dataset is: every fact that its samples depend on, and the arrays that follow from it."""

import dataclasses
import math
import re
from dataclasses import dataclass
from typing import Any

from labelfactory.errors import InputError
from labelfactory.limits import HALF_MAX, MAX_CLASSES
from labelfactory.masks import is_thing
from labelfactory.storage.arrays import ArraySpec
from labelfactory.storage.documents import canonical, sha256

SHARD_BYTES = 50e6
# Fields that stores of the first releases do not know. Where they say nothing they are not written either, so that
# such stores keep their hash.
ADDED = (
    "regressor_sha256",
    "keypoint_uncertainty",
    "values",
    "value_sha256",
    "centre_sha256",
    "crop",
    "label_precision",
    "latent_dimension",
)
# Facts that no sample depends on: stores that differ in these alone have the same hash.
UNHASHED = ("count", "generator", "latent_dimension")


@dataclass(frozen=True)
class ClassInfo:
    """One class: its id is its place in the list. ``thing`` classes are countable; by default all but background."""

    name: str
    color: tuple[int, int, int]
    thing: bool | None = None

    def __post_init__(self) -> None:
        color = tuple(int(value) for value in self.color)
        if not self.name or len(color) != 3 or not all(0 <= value <= 255 for value in color):
            raise InputError(
                f"class {self.name!r} with colour {self.color}: expected a name and red, green, blue 0-255"
            )
        object.__setattr__(self, "color", color)
        if self.thing is None:
            object.__setattr__(self, "thing", is_thing(self.name, None))


@dataclass(frozen=True)
class ValueInfo:
    """One channel of the array ``value``: a name, a unit ("" for none) and the range that its numbers stay in."""

    name: str
    unit: str
    low: float
    high: float

    def __post_init__(self) -> None:
        for bound in ("low", "high"):
            object.__setattr__(self, bound, float(getattr(self, bound)))
        if not self.name or not -HALF_MAX <= self.low < self.high <= HALF_MAX:
            raise InputError(
                f"value {self.name!r} from {self.low} to {self.high}: expected a name and a range within +-{HALF_MAX}"
            )


@dataclass(frozen=True)
class DatasetSpec:
    """Identity of a dataset. ``count`` may grow and ``generator`` may move; everything else is fixed for good.

    ``shard_size`` is in samples; None takes the power of two that brings the largest array's shard nearest 50 MB.
    ``truncation`` is StyleGAN's psi; ``keep_quantile`` the share of samples with the lowest uncertainty that readers
    keep; ``keypoints`` names the columns of an optional ``keypoints`` array, ``regressor_sha256`` what found them;
    ``keypoint_uncertainty`` adds how sure each is; ``values`` names the channels of an optional array ``value``,
    ``value_sha256`` what made it; ``instance`` adds a map of objects, ``centre_sha256`` is what found their centres
    where that was done. ``crop`` is which part of the generator's pictures the images are: top, bottom, left, right,
    or empty for all. ``label_precision`` is that of the labels' products, or empty for what the device does by itself.
    (``value`` without ``values`` is the older array of one unnamed channel without uncertainty.)
    ``latent_dimension`` is the name of ``latent``'s second dimension. A store keeps the one that it was created with:
    "" stands for that of the first releases, "latent", which xarray takes for a coordinate.
    """

    count: int
    height: int
    width: int
    channels: int
    latent_dim: int
    classes: tuple[ClassInfo, ...]
    generator_sha256: str
    interpreter_sha256: str
    generator: str = ""
    seed: int = 0
    truncation: float = 0.7
    shard_size: int | None = None
    ignore_index: int = 255
    keep_quantile: float = 0.9
    licence: str = "CC0-1.0"
    keypoints: tuple[str, ...] = ()
    value: bool = False
    instance: bool = False
    regressor_sha256: str = ""
    keypoint_uncertainty: bool = False
    values: tuple[ValueInfo, ...] = ()
    value_sha256: str = ""
    centre_sha256: str = ""
    crop: tuple[int, ...] = ()
    label_precision: str = ""
    latent_dimension: str = "latent_channel"

    def __post_init__(self) -> None:
        for name in ("classes", "keypoints", "values", "crop"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        object.__setattr__(self, "value", self.value or bool(self.values))
        object.__setattr__(self, "truncation", float(self.truncation))
        object.__setattr__(self, "keep_quantile", float(self.keep_quantile))
        for name in ("count", "height", "width", "channels", "latent_dim"):
            _require(getattr(self, name) >= 1, name, getattr(self, name), "1 or more")
        _require(1 <= len(self.classes) <= MAX_CLASSES, "classes", len(self.classes), f"1 to {MAX_CLASSES} of them")
        names = [info.name for info in self.classes]
        _require(len(set(names)) == len(names), "classes", names, "different names")
        _require(self.channels in (1, 3), "channels", self.channels, "1 (grey) or 3 (RGB)")
        _require(0 <= self.seed < 2**64, "seed", self.seed, "0 to 2**64 - 1")
        _require(math.isfinite(self.truncation), "truncation", self.truncation, "a finite number")
        _require(0 < self.keep_quantile <= 1, "keep_quantile", self.keep_quantile, "above 0 and at most 1")
        _require(
            len(self.classes) <= self.ignore_index <= 255, "ignore_index", self.ignore_index, "no class id, <= 255"
        )
        for name in ("generator_sha256", "interpreter_sha256"):
            value = getattr(self, name)
            _require(re.fullmatch("[0-9a-f]{64}", value) is not None, name, repr(value), "64 hexadecimal digits")
        for name in ("regressor_sha256", "value_sha256", "centre_sha256"):
            value, expected = getattr(self, name), "64 hexadecimal digits or nothing"
            _require(re.fullmatch("([0-9a-f]{64})?", value) is not None, name, repr(value), expected)
        formats = ("", "float32", "bfloat16", "float16")
        _require(self.label_precision in formats, "label_precision", repr(self.label_precision), f"one of {formats}")
        channels = [info.name for info in self.values]
        _require(len(set(channels)) == len(channels), "values", channels, "different names")
        if self.crop:
            top, bottom, left, right = self.crop if len(self.crop) == 4 else (-1,) * 4
            fits = min(top, left) >= 0 and (bottom - top, right - left) == (self.height, self.width)
            _require(fits, "crop", self.crop, f"top, bottom, left, right of {self.height} rows, {self.width} columns")
        if self.shard_size is None:
            largest = max(array.sample_bytes for array in self.arrays())
            object.__setattr__(self, "shard_size", 2 ** max(0, round(math.log2(SHARD_BYTES / largest))))
        _require(self.samples_per_shard >= 1, "shard_size", self.shard_size, "1 or more samples")

    @property
    def samples_per_shard(self) -> int:
        assert self.shard_size is not None  # for the type checker: __post_init__ has filled it in
        return self.shard_size

    @property
    def num_shards(self) -> int:
        return -(-self.count // self.samples_per_shard)

    def shard_range(self, shard: int) -> tuple[int, int]:
        """First sample of a shard and the one after its last; the last shard may be shorter than the others."""
        if not 0 <= shard < self.num_shards:
            raise InputError(f"shard {shard} does not exist: expected 0 to {self.num_shards - 1}")
        start = shard * self.samples_per_shard
        return start, min(start + self.samples_per_shard, self.count)

    def arrays(self) -> tuple[ArraySpec, ...]:
        """Every array of the store, in the order in which they are written."""
        h, w = self.height, self.width
        nan, pixels, sample = math.nan, ("sample", "y", "x"), ("sample",)
        latent = ("sample", self.latent_dimension or "latent")
        arrays = [
            ArraySpec("image", "uint8", (*pixels, "channel"), (h, w, self.channels), 0, True),
            ArraySpec("mask", "uint8", pixels, (h, w), self.ignore_index, True),
            ArraySpec("uncertainty", "float16", pixels, (h, w), nan, True),
            ArraySpec("uncertainty_score", "float32", sample, (), nan, False),
            ArraySpec("seed", "uint64", sample, (), 0, False),
            ArraySpec("latent", "float32", latent, (self.latent_dim,), nan, False),
        ]
        if self.keypoints:
            points: tuple[str, ...] = ("sample", "keypoint", "coordinate")
            arrays.append(ArraySpec("keypoints", "float32", points, (len(self.keypoints), 3), nan, False))
        if self.keypoint_uncertainty:
            arrays.append(
                ArraySpec("keypoint_uncertainty", "float32", ("sample", "keypoint"), (len(self.keypoints),), nan, False)
            )
        if self.values:
            for name in ("value", "value_uncertainty"):
                dims = (*pixels, "value_channel")
                arrays.append(ArraySpec(name, "float16", dims, (h, w, len(self.values)), nan, True))
        elif self.value:
            arrays.append(ArraySpec("value", "float16", pixels, (h, w), nan, True))
        if self.instance:
            arrays.append(ArraySpec("instance", "uint16", pixels, (h, w), 0, True))
        return (*arrays, ArraySpec("keep", "bool", sample, (), False, False, written_last=True))

    def shard_arrays(self) -> tuple[ArraySpec, ...]:
        """The arrays that a shard's owner writes (all but ``keep``)."""
        return tuple(array for array in self.arrays() if not array.written_last)

    def to_json(self) -> dict[str, Any]:
        document = dataclasses.asdict(self)
        document["classes"] = [
            {**document_class, "color": list(document_class["color"])} for document_class in document["classes"]
        ]
        for name in ("keypoints", "values", "crop"):
            document[name] = list(document[name])
        return {name: value for name, value in document.items() if value or name not in ADDED}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "DatasetSpec":
        """The spec in a store's root attributes; other keys are left alone."""
        try:
            names = {field.name for field in dataclasses.fields(cls)}
            values = {name: document[name] for name in names if name in document or name not in ADDED}
            values.setdefault("latent_dimension", "")
            values["values"] = tuple(ValueInfo(**info) for info in values.get("values", ()))
            values["classes"] = tuple(
                ClassInfo(info["name"], tuple(info["color"]), info["thing"]) for info in values["classes"]
            )
            return cls(**values | {name: tuple(values.get(name, ())) for name in ("keypoints", "crop")})
        except (KeyError, TypeError) as error:
            raise InputError(f"the store's root attributes do not describe a dataset: {error!r}") from error

    @property
    def hash(self) -> str:
        """sha256 of everything that a sample's content depends on; two specs with the same hash share their shards."""
        return sha256(canonical({name: value for name, value in self.to_json().items() if name not in UNHASHED}))

    def difference(self, other: "DatasetSpec") -> str | None:
        """The fields that keep ``other`` from continuing a store of this spec, in words; None where there are none."""
        mine, theirs = self.to_json(), other.to_json()
        mine = dict.fromkeys(ADDED) | mine
        fields = [name for name in mine if name not in UNHASHED and mine[name] != theirs.get(name)]
        return "; ".join(f"{name} is {mine[name]!r} there, {theirs.get(name)!r} here" for name in fields) or None


def _require(condition: bool, name: str, given: object, expected: str) -> None:
    if not condition:
        raise InputError(f"{name} is {given}: expected {expected}")
