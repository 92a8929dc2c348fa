"""The label set: a handful of images, what a person drew on them, and where in the generator they come from.

On disk it is a folder: ``labelset.json``, ``images/NAME.png``, ``masks/NAME.png`` (8-bit indexed) and, for images
that come from inversion instead of a seed, ``latents/NAME.npy``. docs/labels.md describes every field.
"""

import hashlib
import io
import json
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from interpreters.checked_json import checked, field, read_json
from interpreters.errors import InputError
from interpreters.folders import new_folder
from interpreters.shapes import Float, UInt8

IGNORE_INDEX = 255
MAX_CLASSES = 255  # ids 0 to 254; 255 is "not labelled"
VERSION = 1

# Okabe & Ito (2008): eight colours that people of every colour vision tell apart.
OKABE_ITO = (
    (0, 0, 0), (230, 159, 0), (86, 180, 233), (0, 158, 115),
    (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167),
)  # fmt: skip
IGNORE_COLOR = (128, 128, 128)


@dataclass(frozen=True)
class LabelClass:
    """One class: its index in the list is its id in masks.

    thing: whether its regions are countable objects (instances); None: not declared, stores then count all classes but
    "background" as things.
    """

    name: str
    color: tuple[int, int, int]
    thing: bool | None = None


NUCLEI_CLASSES = (
    LabelClass("background", OKABE_ITO[0], thing=False),
    LabelClass("nucleus", OKABE_ITO[1], thing=True),
    LabelClass("neighbour", OKABE_ITO[2], thing=True),
)
"""The classes of the bundled nuclei64 generator's label set."""


class Sample(NamedTuple):
    """One labelled image; begins with ``name, image, mask, origin``.

    Attributes:
        name: file stem, unique in its set; the files are ``images/{name}.png`` and ``masks/{name}.png``.
        image: what the person saw, 1 or 3 channels.
        mask: class ids; 255 where nothing was labelled.
        origin: the seed (0 to 2^64 - 1) that the generator made the image from, or a latent: float32 ``[z_dim]`` (z) or
            ``[num_ws, w_dim]`` (W+, used as it is, without truncation).
        keypoints: x, y in pixels (a pixel's centre is at + 0.5) and COCO's visibility (0 not labelled, 1 hidden,
            2 visible) of the set's keypoints, in their order; None: not labelled.
    """

    name: str
    image: UInt8[np.ndarray, "height width channels"]
    mask: UInt8[np.ndarray, "height width"]
    origin: int | Float[np.ndarray, "..."]
    keypoints: Float[np.ndarray, "keypoints 3"] | None = None

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

    def __post_init__(self) -> None:
        check_classes(self.classes, self.where)
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
        header = classes, self.generator_sha256, self.truncation, self.keypoints
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
            entries.append(entry)
        data = {
            "version": VERSION,
            "classes": [{"name": c.name, "color": list(c.color), "thing": c.thing} for c in self.classes],
            "ignore_index": IGNORE_INDEX,
            "generator": {"uri": self.generator_uri, "sha256": self.generator_sha256},
            "truncation": self.truncation,
            **({"keypoints": list(self.keypoints)} if self.keypoints else {}),
            "samples": entries,
        }
        (root / "labelset.json").write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")


def parse_class(data: Any, where: str) -> LabelClass:
    """One class from its JSON object: ``{"name": ..., "color": [r, g, b], "thing": false}``."""
    color = [checked(v, int, f'{where}: "color"') for v in field(data, "color", list, where)]
    if len(color) != 3 or not all(0 <= v <= 255 for v in color):
        raise InputError(f'{where}: "color" {color} is not three integers from 0 to 255')
    return LabelClass(
        field(data, "name", str, where), (color[0], color[1], color[2]), field(data, "thing", bool, where, None)
    )


def check_classes(classes: Sequence[LabelClass], where: str = "classes") -> None:
    """InputError unless there are 1 to 255 classes, each with a name of its own."""
    if not 1 <= len(classes) <= MAX_CLASSES:
        raise InputError(f"{where}: {len(classes)} classes; expected 1 to {MAX_CLASSES}")
    names = [c.name for c in classes]
    for name in names:
        if not name.strip() or not name.isprintable():
            raise InputError(f"{where}: class name {name!r} is empty or has unprintable characters")
        if names.count(name) > 1:
            raise InputError(f"{where}: class {name!r} is listed {names.count(name)} times; names have to differ")


def palette(classes: Sequence[LabelClass]) -> UInt8[np.ndarray, "256 3"]:
    """Colour of every mask value; grey for "not labelled" and for ids without a class."""
    table = np.full((256, 3), IGNORE_COLOR, dtype=np.uint8)
    table[: len(classes)] = [c.color for c in classes]
    return table


def save_mask(path: Path, mask: UInt8[np.ndarray, "height width"], classes: Sequence[LabelClass]) -> None:
    """Write a mask as 8-bit indexed PNG: values are class ids, the palette shows them in the classes' colours."""
    image = Image.fromarray(np.ascontiguousarray(mask))
    image.putpalette(palette(classes).tobytes(), rawmode="RGB")  # turns the grey image into an indexed one, values kept
    image.save(path)


def read_image(path: Path) -> UInt8[np.ndarray, "height width channels"]:
    """An 8-bit grey or RGB picture; alpha is dropped, indexed colours are looked up. InputError for anything else."""
    image = open_picture(path)
    if image.mode in ("1", "L", "LA"):
        return np.array(image.convert("L"))[..., None]
    if image.mode in ("P", "RGB", "RGBA"):
        return np.array(image.convert("RGB"))
    raise InputError(f"{path}: a picture of mode {image.mode}; expected 8-bit grey or RGB")


def read_mask(path: Path) -> UInt8[np.ndarray, "height width"]:
    """Class ids of an 8-bit indexed (or grey) picture. InputError for anything else."""
    image = open_picture(path)
    if image.mode not in ("P", "L"):
        raise InputError(
            f"{path}: a picture of mode {image.mode}; expected an 8-bit indexed PNG of class ids "
            "(`factory import-labels` converts colour masks)"
        )
    return np.array(image)


def open_picture(path: Path) -> Image.Image:
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        image = Image.open(io.BytesIO(path.read_bytes()))  # no file handle stays open if decoding fails
        image.load()
    # Pillow's decoders meet broken files with whatever exception comes first
    except Exception as error:
        raise InputError(f"{path}: cannot be read as a picture ({type(error).__name__}: {_one_line(error)})") from None
    return image


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:100]


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
        try:
            latent = np.load(path, allow_pickle=False)
        except Exception as error:
            raise InputError(f"{path}: cannot be read as a latent ({_one_line(error)})") from None
        if not isinstance(latent, np.ndarray) or latent.dtype.kind != "f":
            raise InputError(f"{path}: expected an array of floating-point numbers")
        origin = latent.astype(np.float32)
    keypoints = None
    if (rows := field(entry, "keypoints", list, where, None)) is not None:
        place = f'{where} ({file}): "keypoints"'
        points = [[checked(v, float, place) for v in checked(row, list, place)] for row in rows]
        if any(len(p) != 3 or max(map(abs, p)) > 1e6 for p in points):
            raise InputError(f"{place} are not all [x, y, visibility] in the image")
        keypoints = np.array(points, np.float32).reshape(-1, 3)
    image, mask = read_image(root / "images" / file), read_mask(root / "masks" / file)
    return Sample(file.removesuffix(".png"), image, mask, origin, keypoints)


def _plain_name(name: str, suffix: str, where: str) -> str:
    stem = name.removesuffix(suffix)
    if not name.endswith(suffix) or stem in ("", ".", "..") or not name.isprintable() or set(name) & set('/\\:*?"<>|'):
        raise InputError(f"{where}: {name!r} is not a plain file name that ends in {suffix}")
    return name


def _check_sample(sample: Sample, labels: LabelSet, seen: set[str]) -> None:
    name, image, mask, origin, keypoints = sample
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
    if isinstance(origin, np.ndarray):
        if origin.dtype != np.float32 or origin.ndim not in (1, 2) or not np.isfinite(origin).all():
            raise InputError(
                f"{where}: latent is {origin.dtype} {origin.shape}; expected finite float32 [z_dim] or [num_ws, w_dim]"
            )
    elif not 0 <= origin < 2**64:
        raise InputError(f"{where}: seed {origin} is outside 0 to 2^64 - 1")
