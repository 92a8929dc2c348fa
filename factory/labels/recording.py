"""Feature maps of labelled samples in a Zarr group, so that interpreters are trained again without the generator."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import zarr
from torch import Tensor

from labelfactory.errors import InputError
from labelfactory.factory.generator import ImageGenerator
from labelfactory.factory.labels.feature_maps import describe_labels, labelled_features
from labelfactory.interpreters.array_types import UInt8
from labelfactory.interpreters.labelset import LabelSet
from labelfactory.whole_files import whole_folder

SCHEMA = "labelfactory-features"
VERSION = 1


def record_features(generator: ImageGenerator, labels: LabelSet, path: str | Path, progress: bool = True) -> Path:
    """Writes the labelled samples' feature maps and masks to a new Zarr group, whole or not at all.

    Layout: one float32 array ``features/NN`` (sample, channel, y, x) for each map, ``mask`` uint8 (sample, y, x); the
    root attributes name classes and generator.
    """
    target = Path(path)
    if target.exists():
        raise InputError(f"{target}: exists already; remove it or choose another place")
    if not target.parent.is_dir():
        raise InputError(f"{target}: its folder does not exist; make it first")
    count = len(labels.labelled)
    with whole_folder(target) as fresh:
        group = zarr.create_group(
            fresh, attributes={"schema": SCHEMA, "version": VERSION} | describe_labels(generator, labels)
        )
        for index, (maps, mask) in enumerate(labelled_features(generator, labels, progress)):
            for k, feature_map in enumerate(maps):
                name, value = f"features/{k:02d}", feature_map[0].float().cpu().numpy()
                if index == 0:
                    _create(group, name, (count, *value.shape), "float32", ("sample", "channel", "y", "x"))
                _array(group, name)[index] = value
            if index == 0:
                _create(group, "mask", (count, *mask.shape), "uint8", ("sample", "y", "x"))
            _array(group, "mask")[index] = mask.numpy()
    return target


def recorded_features(path: str | Path) -> Iterator[tuple[Sequence[Tensor], UInt8[Tensor, "height width"]]]:
    """Reads what ``record_features`` wrote, one sample at a time."""
    group = _open(path)
    names = sorted(group["features"].array_keys())  # type: ignore[union-attr]
    masks = _array(group, "mask")
    for index in range(masks.shape[0]):
        maps = [torch.from_numpy(np.asarray(_array(group, f"features/{name}")[index])) for name in names]
        yield maps, torch.from_numpy(np.asarray(masks[index]))


def recorded_attributes(path: str | Path) -> dict[str, Any]:
    """The recording's metadata: what ``describe_labels`` wrote."""
    return dict(_open(path).attrs)


def _open(path: str | Path) -> zarr.Group:
    try:
        group = zarr.open_group(path, mode="r")
    except (FileNotFoundError, ValueError, json.JSONDecodeError) as error:
        raise InputError(f"{path}: not a recording of feature maps ({type(error).__name__})") from None
    if group.attrs.get("schema") != SCHEMA or group.attrs.get("version") != VERSION:
        raise InputError(f"{path}: not a recording of feature maps (expected schema {SCHEMA} {VERSION})")
    return group


def _create(group: zarr.Group, name: str, shape: tuple[int, ...], dtype: str, dimensions: tuple[str, ...]) -> None:
    group.create_array(name, shape=shape, chunks=(1, *shape[1:]), dtype=dtype, dimension_names=dimensions)


def _array(group: zarr.Group, name: str) -> zarr.Array[Any]:
    array = group[name]
    if not isinstance(array, zarr.Array):
        raise InputError(f"{group.store_path}: {name} is no array; record the features again")
    return array
