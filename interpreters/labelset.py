"""The label set: a handful of images, what a person drew on them, and where in the generator they come from.

On disk it is a folder: ``labelset.json``, ``images/NAME.png``, ``masks/NAME.png`` (8-bit indexed) and, for images
that come from inversion instead of a seed, ``latents/NAME.npy``; continuous labels are ``values/NAME.npy``.
docs/labels.md describes every field.
"""

import hashlib
import json
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from labelfactory.errors import InputError
from labelfactory.interpreters.array_types import Float, UInt8
from labelfactory.interpreters.channels import ValueChannel, check_channels, parse_channel
from labelfactory.interpreters.checked_json import checked, field, read_json
from labelfactory.interpreters.classes import (
    IGNORE_INDEX,
    NUCLEI_CLASSES,
    OKABE_ITO,
    LabelClass,
    check_classes,
    parse_class,
)
from labelfactory.interpreters.crop import Crop
from labelfactory.interpreters.folders import new_folder
from labelfactory.interpreters.pictures import one_line, read_image, read_mask, save_mask

__all__ = ["IGNORE_INDEX", "NUCLEI_CLASSES", "OKABE_ITO", "LabelClass", "LabelSet", "Sample"]

VERSION = 1


class Sample(NamedTuple):
    """One labelled image; begins with ``name, image, mask, origin``.

    Attributes:
        name: file stem, unique in its set; the files are ``images/{name}.png`` and ``masks/{name}.png``.
        image: what the person saw, 1 or 3 channels.
        mask: class ids; 255 where nothing was labelled.
        origin: the seed (0 to 2^64 - 1) that the generator made the image from, or a latent: float32 of the
            generator's ``latent_shape`` (z), or ``[layers, w_dim]`` (W+, used as it is, without truncation).
        keypoints: x, y in pixels (a pixel's centre is at + 0.5) and COCO's visibility (0 not labelled, 1 hidden,
            2 visible) of the set's keypoints, in their order; None: not labelled.
        values: the set's value channels in their order and units, NaN where not labelled; None: nowhere labelled.
    """

    name: str
    image: UInt8[np.ndarray, "height width channels"]
    mask: UInt8[np.ndarray, "height width"]
    origin: int | Float[np.ndarray, "..."]
    keypoints: Float[np.ndarray, "keypoints 3"] | None = None
    values: Float[np.ndarray, "height width values"] | None = None

    @property
    def seed(self) -> int | None:
        return None if isinstance(self.origin, np.ndarray) else int(self.origin)

    @property
    def latent(self) -> np.ndarray | None:
        return self.origin if isinstance(self.origin, np.ndarray) else None

    @property
    def picture(self) -> str:
        """The name up to an "@": samples that differ behind it alone are views of one picture."""
        return self.name.split("@")[0]

    @property
    def labelled(self) -> bool:
        """Whether a person labelled any pixel of it."""
        return bool((self.mask != IGNORE_INDEX).any())


@dataclass(frozen=True, eq=False)
class LabelSet:
    """Labelled samples of one generator. Checked when made: what exists is consistent.

    Attributes:
        classes: in the order of their ids.
        samples: all of one image size.
        generator_uri, generator_sha256: which generator made (or, by inversion, explains) the images.
        truncation: ψ that turned the seeds into images.
        keypoints: names of the points that samples may have.
        values: channels of the continuous labels that samples may have.
        crop: which part of the generator's pictures the images and labels are; None: all of it.

    Raises:
        InputError: anything inconsistent; the line begins with ``where`` (a file, if loaded).
    """

    classes: tuple[LabelClass, ...]
    samples: tuple[Sample, ...]
    generator_uri: str
    generator_sha256: str
    truncation: float = 0.7
    where: str = "label set"
    keypoints: tuple[str, ...] = ()
    values: tuple[ValueChannel, ...] = ()
    crop: Crop | None = None

    def __post_init__(self) -> None:
        check_classes(self.classes, self.where)
        check_channels(self.values, self.where)
        names = self.keypoints
        if len(set(names)) < len(names) or not all(n.strip() and n.isprintable() for n in names):
            raise InputError(f"{self.where}: keypoint names {names} have to differ and be printable")
        if not (math.isfinite(self.truncation) and 0 <= self.truncation <= 2):
            raise InputError(f"{self.where}: truncation {self.truncation} is outside 0 to 2")
        sha = self.generator_sha256
        if len(sha) != 64 or set(sha) - set("0123456789abcdef"):
            raise InputError(f"{self.where}: generator sha256 {sha!r} is not 64 hexadecimal digits")
        seen: set[str] = set()
        for sample in self.samples:
            _check_sample(sample, self, seen)

    def __len__(self) -> int:
        return len(self.samples)

    def __iter__(self) -> Iterator[Sample]:
        return iter(self.samples)

    @property
    def class_names(self) -> tuple[str, ...]:
        return tuple(c.name for c in self.classes)

    @property
    def labelled(self) -> "LabelSet":
        """The same set without the samples that nobody has labelled yet."""
        return replace(self, samples=tuple(s for s in self.samples if s.labelled))

    @property
    def content_sha256(self) -> str:
        """Hash of what an interpreter trained on this set depends on; images, files and paths do not count."""
        digest = hashlib.sha256()
        classes = [[c.name, *c.color, c.thing] for c in self.classes]
        header = [classes, self.generator_sha256, self.truncation, self.keypoints]
        if self.crop is not None:
            header.append(self.crop.numbers)
        digest.update(json.dumps(header).encode())
        for s in self.samples:
            shape = s.mask.shape, s.seed, None if s.latent is None else s.latent.shape
            digest.update(json.dumps([s.name, *shape]).encode())
            digest.update(np.ascontiguousarray(s.mask).tobytes())
            if s.keypoints is not None:
                digest.update(b"keypoints" + np.ascontiguousarray(s.keypoints, dtype="<f4").tobytes())
            if s.latent is not None:
                digest.update(np.ascontiguousarray(s.latent, dtype="<f4").tobytes())
        return digest.hexdigest()

    @property
    def values_sha256(self) -> str:
        """Hash of what a regressor trained on this set's values depends on; interpreters do not depend on those."""
        digest = hashlib.sha256(json.dumps([self.content_sha256, [c.to_json() for c in self.values]]).encode())
        for s in self.samples:
            if s.values is not None:
                digest.update(s.name.encode() + np.ascontiguousarray(s.values, dtype="<f4").tobytes())
        return digest.hexdigest()

    def embed(self, inside: np.ndarray, around: float | int, size: tuple[int, int]) -> np.ndarray:
        """Labels [..., height, width] of the crop as those of the generator's whole picture of that size."""
        if self.crop is None:
            return inside
        return self.crop.embed(inside, np.full((*inside.shape[:-2], *size), around, inside.dtype))

    def check_generator(self, sha256: str) -> None:
        """InputError unless these labels belong to the generator of that hash: feature maps of another mean nothing."""
        if sha256 != self.generator_sha256:
            raise InputError(
                f"{self.where}: labels belong to generator {self.generator_uri} "
                f"(sha256 {self.generator_sha256[:12]}...), "
                f"the one given has sha256 {sha256[:12]}...; give that generator or labels made for this one"
            )

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> "LabelSet":
        """Read and check a label set's folder. InputError names the first file that is wrong and what to do."""
        root = Path(folder)
        if not root.is_dir():
            raise InputError(f"{root}: no such folder; expected a label set (labelset.json, images/, masks/)")
        path = root / "labelset.json"
        if not path.is_file():
            raise InputError(f"{root}: has no labelset.json; expected a label set as `factory sample` writes it")
        data = read_json(path)
        where = str(path)
        if (version := field(data, "version", int, where)) != VERSION:
            raise InputError(f"{where}: version {version} is unknown; this program reads version {VERSION}")
        if (ignore := field(data, "ignore_index", int, where, IGNORE_INDEX)) != IGNORE_INDEX:
            raise InputError(f"{where}: ignore_index {ignore} is not supported; it has to be {IGNORE_INDEX}")
        classes = tuple(
            parse_class(c, f"{where}: classes[{i}]") for i, c in enumerate(field(data, "classes", list, where))
        )
        check_classes(classes, where)
        generator = field(data, "generator", dict, where)
        entries = field(data, "samples", list, where)
        return cls(
            classes=classes,
            samples=tuple(_read_sample(root, e, f"{where}: samples[{i}]") for i, e in enumerate(entries)),
            generator_uri=field(generator, "uri", str, f"{where}: generator"),
            generator_sha256=field(generator, "sha256", str, f"{where}: generator"),
            truncation=field(data, "truncation", float, where),
            where=where,
            keypoints=tuple(checked(n, str, f"{where}: keypoints") for n in field(data, "keypoints", list, where, [])),
            values=tuple(
                parse_channel(c, f"{where}: values[{i}]") for i, c in enumerate(field(data, "values", list, where, []))
            ),
            crop=_read_crop(data, where),
        )

    def save(self, folder: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the folder, whole or not at all: it is made beside its place and renamed into it.

        Raises:
            InputError: ``folder`` exists and ``overwrite`` is off, or it exists and is no label set.
        """
        with new_folder(folder, replaces="labelset.json" if overwrite else None) as fresh:
            self._write(fresh)

    def _write(self, root: Path) -> None:
        for name in ("images", "masks"):
            (root / name).mkdir()
        entries = []
        for s in self.samples:
            entry: dict[str, Any] = {"file": f"{s.name}.png"}
            Image.fromarray(s.image[..., 0] if s.image.shape[2] == 1 else s.image).save(root / "images" / entry["file"])
            save_mask(root / "masks" / entry["file"], s.mask, self.classes)
            if s.latent is None:
                entry["seed"] = s.seed
            else:
                (root / "latents").mkdir(exist_ok=True)
                entry["latent"] = f"{s.name}.npy"
                np.save(root / "latents" / entry["latent"], s.latent.astype("<f4"), allow_pickle=False)
            if s.keypoints is not None:
                entry["keypoints"] = [[float(v) for v in point] for point in s.keypoints]
            if s.values is not None:
                (root / "values").mkdir(exist_ok=True)
                entry["values"] = f"{s.name}.npy"
                np.save(root / "values" / entry["values"], s.values.astype("<f4"), allow_pickle=False)
            entries.append(entry)
        data = {
            "version": VERSION,
            "classes": [{"name": c.name, "color": list(c.color), "thing": c.thing} for c in self.classes],
            "ignore_index": IGNORE_INDEX,
            "generator": {"uri": self.generator_uri, "sha256": self.generator_sha256},
            "truncation": self.truncation,
            **({"keypoints": list(self.keypoints)} if self.keypoints else {}),
            **({"values": [c.to_json() for c in self.values]} if self.values else {}),
            **({"crop": list(self.crop.numbers)} if self.crop else {}),
            "samples": entries,
        }
        (root / "labelset.json").write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")


def _read_sample(root: Path, entry: Any, where: str) -> Sample:
    file = _plain_name(field(entry, "file", str, where), ".png", f'{where}: "file"')
    has_seed, has_latent = entry.get("seed") is not None, entry.get("latent") is not None
    if has_seed == has_latent:
        raise InputError(
            f'{where} ({file}): expected either "seed" or "latent", found {"both" if has_seed else "neither"}'
        )
    origin: int | np.ndarray
    if has_seed:
        origin = field(entry, "seed", int, where)
    else:
        path = root / "latents" / _plain_name(field(entry, "latent", str, where), ".npy", f'{where}: "latent"')
        origin = read_floats(path)
    keypoints = None
    if (rows := field(entry, "keypoints", list, where, None)) is not None:
        place = f'{where} ({file}): "keypoints"'
        points = [[checked(v, float, place) for v in checked(row, list, place)] for row in rows]
        if any(len(p) != 3 or max(map(abs, p)) > 1e6 for p in points):
            raise InputError(f"{place} are not all [x, y, visibility] in the image")
        keypoints = np.array(points, np.float32).reshape(-1, 3)
    image, mask = read_image(root / "images" / file), read_mask(root / "masks" / file)
    values = None
    if (name := field(entry, "values", str, where, None)) is not None:
        values = read_floats(root / "values" / _plain_name(name, ".npy", f'{where}: "values"'))
        if values.ndim != 3:
            raise InputError(f"{where} ({file}): values of shape {values.shape}; expected (height, width, channels)")
    return Sample(file.removesuffix(".png"), image, mask, origin, keypoints, values)


def read_floats(path: Path) -> Float[np.ndarray, "..."]:
    """An array of floating-point numbers from a .npy file, as float32. InputError for anything else."""
    try:
        array = np.load(path, allow_pickle=False, mmap_mode="r")  # mapped: a header's shape may be beyond the file
    except Exception as error:
        raise InputError(f"{path}: cannot be read as an array ({one_line(error)})") from None
    if not isinstance(array, np.ndarray) or array.dtype.kind != "f":
        raise InputError(f"{path}: expected an array of floating-point numbers")
    return np.array(array, dtype=np.float32)


def _read_crop(data: Any, where: str) -> Crop | None:
    if (numbers := field(data, "crop", list, where, None)) is None:
        return None
    if len(numbers) != 4:
        raise InputError(f'{where}: "crop" has {len(numbers)} numbers; expected top, bottom, left, right')
    return Crop.of([checked(n, int, f'{where}: "crop"') for n in numbers])


def _plain_name(name: str, suffix: str, where: str) -> str:
    stem = name.removesuffix(suffix)
    if not name.endswith(suffix) or stem in ("", ".", "..") or not name.isprintable() or set(name) & set('/\\:*?"<>|'):
        raise InputError(f"{where}: {name!r} is not a plain file name that ends in {suffix}")
    return name


def _check_sample(sample: Sample, labels: LabelSet, seen: set[str]) -> None:
    name, image, mask, origin, keypoints, values = sample
    where = f"{labels.where}: sample {name!r}"
    _plain_name(f"{name}.png", ".png", where)
    if name.casefold() in seen:
        raise InputError(f"{where} is listed twice (case does not count); names have to differ")
    seen.add(name.casefold())
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in (1, 3) or 0 in image.shape:
        raise InputError(f"{where}: image is {image.dtype} {image.shape}; expected uint8 (height, width, 1 or 3)")
    if mask.dtype != np.uint8 or mask.shape != image.shape[:2]:
        size = " x ".join(map(str, mask.shape[::-1]))
        raise InputError(
            f"{where}: mask is {size}, image is {image.shape[1]} x {image.shape[0]} pixels; they have to match"
        )
    first = labels.samples[0].image
    if image.shape != first.shape:
        raise InputError(
            f"{where}: image is {image.shape}, that of {labels.samples[0].name!r} is {first.shape}; one size a set"
        )
    if labels.crop is not None and mask.shape != (labels.crop.height, labels.crop.width):
        raise InputError(
            f"{where}: has {mask.shape[1]} x {mask.shape[0]} pixels; the crop {labels.crop} has "
            f"{labels.crop.width} x {labels.crop.height}"
        )
    bad = mask[(mask >= len(labels.classes)) & (mask != IGNORE_INDEX)]
    if bad.size:
        raise InputError(
            f"{where}: mask has class id {int(bad.min())}; the {len(labels.classes)} classes have ids 0 to "
            f"{len(labels.classes) - 1}, {IGNORE_INDEX} means not labelled"
        )
    if keypoints is not None:
        if keypoints.shape != (len(labels.keypoints), 3) or not np.isfinite(keypoints).all():
            raise InputError(
                f"{where}: {len(keypoints)} keypoints; expected x, y, visibility of {len(labels.keypoints)}"
            )
        if not np.isin(keypoints[:, 2], (0, 1, 2)).all():
            raise InputError(f"{where}: keypoint visibility has to be 0 (not labelled), 1 (hidden) or 2 (visible)")
    if values is not None:
        _check_values(values, labels, mask.shape, where)
    if isinstance(origin, np.ndarray):
        if origin.dtype != np.float32 or origin.ndim not in (1, 2, 3) or not np.isfinite(origin).all():
            raise InputError(
                f"{where}: latent is {origin.dtype} {origin.shape}; expected finite float32 of 1 to 3 axes"
            )
    elif not 0 <= origin < 2**64:
        raise InputError(f"{where}: seed {origin} is outside 0 to 2^64 - 1")


def _check_values(values: np.ndarray, labels: LabelSet, size: tuple[int, ...], where: str) -> None:
    if values.dtype != np.float32 or values.shape != (*size, len(labels.values)):
        raise InputError(
            f"{where}: values are {values.dtype} {values.shape}; expected float32 {(*size, len(labels.values))}, "
            "a number per pixel and channel"
        )
    for k, channel in enumerate(labels.values):
        known = values[..., k][~np.isnan(values[..., k])]
        beyond = known[(known < np.float32(channel.low)) | (known > np.float32(channel.high))]
        if beyond.size:
            raise InputError(f"{where}: has the value {beyond[0]:g}, outside {channel}; give the channel a wider range")
