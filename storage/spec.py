"""What a dataset is: every fact that its samples depend on, and the arrays that follow from it."""

import dataclasses
import math
import re
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from labelfactory.errors import InputError
from labelfactory.limits import MAX_CLASSES, TRUNCATION
from labelfactory.masks import is_thing
from labelfactory.storage.arrays import LABEL_ROLES, ArraySpec
from labelfactory.storage.documents import canonical, sha256
from labelfactory.storage.label_arrays import ONLY_IF_ANY, arrays_in, fields_of
from labelfactory.storage.packing import PACKINGS

SHARD_BYTES = 50e6
MOST_DEGREES = 3600  # that a sequence turns through; 360 lead back to its start
# Fields that stores of the first releases do not know. Where they say nothing they are not written either, so that
# such stores keep their hash.
ADDED = (
    *("crop", "conditions", "label_precision", "latent_dimension", "image_packing", "siblings", "walk", "walk_degrees"),
    *ONLY_IF_ANY,
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
class DatasetSpec:
    """Identity of a dataset. ``count`` may grow and ``generator`` may move; everything else is fixed for good.

    ``shard_size`` is in samples; None takes the power of two that brings the largest array's shard nearest 50 MB, label
    arrays left aside.
    ``truncation`` is StyleGAN's psi; ``keep_quantile`` the share of samples with the lowest uncertainty that readers
    keep. ``crop`` is which part of the generator's pictures the images are: top, bottom, left, right, or empty for all.
    ``label_precision`` is that of the labels' products, or empty for what the device does by itself. ``label_arrays``
    are those that a store has beside the ones that every store has. ``latent_dimension`` is the name of ``latent``'s
    second dimension. A store keeps the one that it was created with: "" stands for that of the first releases,
    "latent", which xarray takes for a coordinate. ``conditions`` are the classes that samples of a conditional
    generator are drawn of; empty: the generator has none. ``image_packing`` is how pictures are packed
    (a key of ``packing.PACKINGS``). ``walk`` is the number of frames of each sequence, 0 where samples are no frames;
    a sequence turns by ``walk_degrees`` through latent space (``walks.WALK_RULE``).
    ``siblings``: pixels whose label differs between pictures of the same coarse styles are ``ignore_index``; their
    number for each sample, the share of style layers that are their own, and the share of them that has to agree.
    Empty: nobody looked.
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
    truncation: float = TRUNCATION
    shard_size: int | None = None
    ignore_index: int = 255
    keep_quantile: float = 0.9
    licence: str = "CC0-1.0"
    crop: tuple[int, ...] = ()
    label_precision: str = ""
    latent_dimension: str = "latent_channel"
    conditions: tuple[int, ...] = ()
    label_arrays: tuple[ArraySpec, ...] = ()
    image_packing: str = ""
    walk: int = 0
    walk_degrees: float = 0.0
    siblings: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        for name in ("classes", "crop", "conditions"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        object.__setattr__(self, "siblings", tuple(map(float, self.siblings)))
        in_order = tuple(sorted(self.label_arrays, key=lambda array: array.name))  # however they were put together
        object.__setattr__(self, "label_arrays", in_order)
        object.__setattr__(self, "truncation", float(self.truncation))
        object.__setattr__(self, "keep_quantile", float(self.keep_quantile))
        object.__setattr__(self, "walk_degrees", float(self.walk_degrees))
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
        formats = ("", "float32", "bfloat16", "float16")
        _require(self.label_precision in formats, "label_precision", repr(self.label_precision), f"one of {formats}")
        _require(self.image_packing in PACKINGS, "image_packing", repr(self.image_packing), f"one of {list(PACKINGS)}")
        names = [array.name for array in self.arrays()]
        _require(len(set(names)) == len(names), "arrays", names, "different names")
        for array in self.label_arrays:
            _require(array.role in LABEL_ROLES, f"role of {array.name}", array.role, f"one of {list(LABEL_ROLES)}")
            sizes = dict(zip(array.dims[1:], array.sample_shape, strict=True))
            fits = sizes.get("y", self.height) == self.height and sizes.get("x", self.width) == self.width
            _require(fits, f"size of {array.name}", sizes, f"{self.height} rows, {self.width} columns")
            others = {other.model for other in self.label_arrays if other.head == array.head}
            _require(len(others) == 1, f"models of {array.head}", sorted(others), "one for all its arrays")
        fits = all(type(n) is int and 0 <= n < 2**16 for n in self.conditions)
        distinct = len(set(self.conditions)) == len(self.conditions)
        _require(fits and distinct, "conditions", self.conditions, "different numbers from 0 to 65535")
        count, styles, agreement = self.siblings or (1.0, 0.5, 1.0)
        sound = count >= 1 and count == int(count) and 0 < styles < 1 and 0 < agreement <= 1
        _require(sound, "siblings", self.siblings, "a number of 1 or more, a share below 1, a share of at most 1")
        if self.crop:
            top, bottom, left, right = self.crop if len(self.crop) == 4 else (-1,) * 4
            fits = min(top, left) >= 0 and (bottom - top, right - left) == (self.height, self.width)
            _require(fits, "crop", self.crop, f"top, bottom, left, right of {self.height} rows, {self.width} columns")
        if self.shard_size is None:
            # Label arrays do not count: with another rule, stores of the first releases could not be ordered larger.
            largest = max(array.sample_bytes for array in self.arrays() if not array.head)
            object.__setattr__(self, "shard_size", 2 ** max(0, round(math.log2(SHARD_BYTES / largest))))
            if self.walk > 1:
                object.__setattr__(self, "shard_size", max(1, self.samples_per_shard // self.walk) * self.walk)
        _require(self.samples_per_shard >= 1, "shard_size", self.shard_size, "1 or more samples")
        self._check_walk()

    def _check_walk(self) -> None:
        """Sequences are whole and lie in one shard each, so that a shard alone knows the numbers of its objects."""
        none = self.walk == self.walk_degrees == 0
        _require(none or 2 <= self.walk < 2**16, "walk", self.walk, "0 for no sequences, or 2 to 65535 frames in each")
        _require(
            none or 0 < self.walk_degrees <= MOST_DEGREES,
            "walk_degrees",
            self.walk_degrees,
            f"above 0, at most {MOST_DEGREES}",
        )
        for name in ("count", "shard_size"):
            value, whole = getattr(self, name), f"a multiple of the {self.walk} frames of a sequence"
            _require(none or value % self.walk == 0, name, value, whole)

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
        """Every array of the store."""
        return self._arrays

    @cached_property
    def _arrays(self) -> tuple[ArraySpec, ...]:
        h, w = self.height, self.width
        pixels, sample = ("sample", "y", "x"), ("sample",)
        latent = ("sample", self.latent_dimension or "latent")
        image = ArraySpec("image", "uint8", (*pixels, "channel"), (h, w, self.channels), 0, True, "image")
        return (
            replace(image, packing=self.image_packing),
            ArraySpec("mask", "uint8", pixels, (h, w), self.ignore_index, True, "mask"),
            ArraySpec("uncertainty", "float16", pixels, (h, w), "NaN", True, "uncertainty"),
            ArraySpec("uncertainty_score", "float32", sample, (), "NaN", False, "score"),
            ArraySpec("seed", "uint64", sample, (), 0, False, "seed"),
            ArraySpec("latent", "float32", latent, (self.latent_dim,), "NaN", False, "latent"),
            *([ArraySpec("condition", "uint16", sample, (), 0, False, "condition")] if self.conditions else []),
            *(
                [
                    ArraySpec("sequence", "uint64", sample, (), 0, False, "sequence"),
                    ArraySpec("frame", "uint16", sample, (), 0, False, "frame"),
                ]
                if self.walk
                else []
            ),
            *self.label_arrays,
            ArraySpec("keep", "bool", sample, (), False, False, "keep", written_last=True),
        )

    def by_role(self, *roles: str) -> tuple[ArraySpec, ...]:
        """The arrays that are there for any of these (keys of ``arrays.ROLES``)."""
        return tuple(array for array in self.arrays() if array.role in roles)

    def of_role(self, role: str) -> ArraySpec | None:
        """The first array that is there for this, None where there is none."""
        return next(iter(self.by_role(role)), None)

    @property
    def heads(self) -> dict[str, str]:
        """Label kinds whose arrays the store has, each with the sha256 of its model ("" where it needs none)."""
        return {array.head: array.model for array in self.label_arrays}

    def shard_arrays(self) -> tuple[ArraySpec, ...]:
        """The arrays that a shard's owner writes (all but ``keep``)."""
        return tuple(array for array in self.arrays() if not array.written_last)

    def to_json(self) -> dict[str, Any]:
        document = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        del document["label_arrays"]
        document["classes"] = [dataclasses.asdict(info) | {"color": list(info.color)} for info in self.classes]
        for name in ("crop", "conditions", "siblings"):
            document[name] = list(document[name])
        document |= fields_of(self.label_arrays, self.height, self.width)
        return {name: value for name, value in document.items() if value or name not in ADDED}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "DatasetSpec":
        """The spec in a store's root attributes; other keys are left alone."""
        try:
            names = {field.name for field in dataclasses.fields(cls)} - {"label_arrays"}
            values = {name: document[name] for name in names if name in document or name not in ADDED}
            values.setdefault("latent_dimension", "")
            values["classes"] = tuple(
                ClassInfo(info["name"], tuple(info["color"]), info["thing"]) for info in values["classes"]
            )
            for name in ("crop", "conditions", "siblings"):
                values[name] = tuple(values.get(name, ()))
            values["label_arrays"] = arrays_in(document, document["height"], document["width"])
            return cls(**values)
        except InputError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"the store's root attributes do not describe a dataset: {error!r}") from error

    @cached_property
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
