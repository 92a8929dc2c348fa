"""Reads a label set's folder; docs/labels.md describes every field."""

import os
from pathlib import Path
from typing import Any

import numpy as np

from labelfactory.errors import InputError
from labelfactory.interpreters.array_types import Float
from labelfactory.interpreters.channels import parse_channel
from labelfactory.interpreters.checked_json import checked, field, read_json
from labelfactory.interpreters.classes import LabelClass, check_classes, parse_class
from labelfactory.interpreters.crop import Crop
from labelfactory.interpreters.folders import finish_update
from labelfactory.interpreters.labelset_checks import plain_name
from labelfactory.interpreters.pictures import one_line, read_image, read_mask
from labelfactory.interpreters.samples import Contents, Sample
from labelfactory.limits import IGNORE_INDEX

INDEX = "labelset.json"
VERSION = 1


def read_label_set(folder: str | os.PathLike[str]) -> Contents:
    """What the folder's files say. InputError names the first file that is wrong and what to do.

    A write that was interrupted while it put its files into place is finished first.
    """
    root = Path(folder)
    if not root.is_dir():
        raise InputError(f"{root}: no such folder; expected a label set ({INDEX}, images/, masks/)")
    finish_update(root)
    path = root / INDEX
    if not path.is_file():
        raise InputError(f"{root}: has no {INDEX}; expected a label set as `factory sample` writes it")
    data = read_json(path)
    where = str(path)
    if (version := field(data, "version", int, where)) != VERSION:
        raise InputError(f"{where}: version {version} is unknown; this program reads version {VERSION}")
    if (ignore := field(data, "ignore_index", int, where, IGNORE_INDEX)) != IGNORE_INDEX:
        raise InputError(f"{where}: ignore_index {ignore} is not supported; it has to be {IGNORE_INDEX}")
    entries = field(data, "classes", list, where)
    classes = tuple(parse_class(c, f"{where}: classes[{i}]") for i, c in enumerate(entries))
    check_classes(classes, where)
    generator = field(data, "generator", dict, where)
    samples = field(data, "samples", list, where)
    channels = field(data, "values", list, where, [])
    return Contents(
        classes=classes,
        samples=tuple(_read_sample(root, e, classes, f"{where}: samples[{i}]") for i, e in enumerate(samples)),
        generator_uri=field(generator, "uri", str, f"{where}: generator"),
        generator_sha256=field(generator, "sha256", str, f"{where}: generator"),
        truncation=field(data, "truncation", float, where),
        where=where,
        keypoints=tuple(checked(n, str, f"{where}: keypoints") for n in field(data, "keypoints", list, where, [])),
        values=tuple(parse_channel(c, f"{where}: values[{i}]") for i, c in enumerate(channels)),
        crop=_read_crop(data, where),
    )


def _read_sample(root: Path, entry: Any, classes: tuple[LabelClass, ...], where: str) -> Sample:
    file = plain_name(field(entry, "file", str, where), ".png", f'{where}: "file"')
    has_seed, has_latent = entry.get("seed") is not None, entry.get("latent") is not None
    photograph = field(entry, "photograph", bool, where, False)
    if has_seed + has_latent + photograph != 1:
        found = "neither" if not has_seed + has_latent + photograph else "both" if has_seed and has_latent else "more"
        raise InputError(f'{where} ({file}): expected either "seed" or "latent" (or "photograph"), found {found}')
    origin: int | np.ndarray | None = None
    if photograph:
        pass
    elif has_seed:
        origin = field(entry, "seed", int, where)
    else:
        path = root / "latents" / plain_name(field(entry, "latent", str, where), ".npy", f'{where}: "latent"')
        origin = read_floats(path)
    keypoints = None
    if (rows := field(entry, "keypoints", list, where, None)) is not None:
        place = f'{where} ({file}): "keypoints"'
        points = [[checked(v, float, place) for v in checked(row, list, place)] for row in rows]
        if any(len(p) != 3 or max(map(abs, p)) > 1e6 for p in points):
            raise InputError(f"{place} are not all [x, y, visibility] in the image")
        keypoints = np.array(points, np.float32).reshape(-1, 3)
    image, mask = read_image(root / "images" / file), read_mask(root / "masks" / file, classes=classes)
    values = None
    if (name := field(entry, "values", str, where, None)) is not None:
        values = read_floats(root / "values" / plain_name(name, ".npy", f'{where}: "values"'))
        if values.ndim != 3:
            raise InputError(f"{where} ({file}): values of shape {values.shape}; expected (height, width, channels)")
    condition = field(entry, "condition", int, where, None)
    drawn, restored_by = None, field(entry, "restored_by", str, where, "")
    if (name := field(entry, "drawn", str, where, None)) is not None:
        drawn = read_mask(root / "drawn" / plain_name(name, ".png", f'{where}: "drawn"'), classes=classes)
    return Sample(file.removesuffix(".png"), image, mask, origin, keypoints, values, condition, drawn, restored_by)


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
