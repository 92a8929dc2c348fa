"""What has to hold for a label set: everything in it is consistent."""

import math

import numpy as np

from labelfactory.errors import InputError
from labelfactory.interpreters.channels import check_channels
from labelfactory.interpreters.classes import check_classes
from labelfactory.interpreters.samples import Contents, Sample
from labelfactory.limits import IGNORE_INDEX


def check_label_set(labels: Contents) -> None:
    """InputError for anything inconsistent; the line begins with ``labels.where``."""
    check_classes(labels.classes, labels.where)
    check_channels(labels.values, labels.where)
    names = labels.keypoints
    if len(set(names)) < len(names) or not all(n.strip() and n.isprintable() for n in names):
        raise InputError(f"{labels.where}: keypoint names {names} have to differ and be printable")
    if not (math.isfinite(labels.truncation) and 0 <= labels.truncation <= 2):
        raise InputError(f"{labels.where}: truncation {labels.truncation} is outside 0 to 2")
    sha = labels.generator_sha256
    if len(sha) != 64 or set(sha) - set("0123456789abcdef"):
        raise InputError(f"{labels.where}: generator sha256 {sha!r} is not 64 hexadecimal digits")
    seen: set[str] = set()
    for sample in labels.samples:
        _check_sample(sample, labels, seen)


def plain_name(name: str, suffix: str, where: str) -> str:
    """``name`` where it is a file name that ends in ``suffix``, in no folder, on every system. InputError otherwise."""
    stem = name.removesuffix(suffix)
    if not name.endswith(suffix) or stem in ("", ".", "..") or not name.isprintable() or set(name) & set('/\\:*?"<>|'):
        raise InputError(f"{where}: {name!r} is not a plain file name that ends in {suffix}")
    return name


def _check_sample(sample: Sample, labels: Contents, seen: set[str]) -> None:
    name, image, mask, origin, keypoints, values, condition, drawn, _ = sample
    where = f"{labels.where}: sample {name!r}"
    plain_name(f"{name}.png", ".png", where)
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
    if drawn is not None and (drawn.dtype != np.uint8 or drawn.shape != mask.shape):
        raise InputError(f"{where}: what was drawn is {drawn.dtype} {drawn.shape}; expected uint8 {mask.shape}")
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
    if condition is not None and not 0 <= condition < 2**16:
        raise InputError(f"{where}: condition {condition} is outside 0 to 65535")
    if isinstance(origin, np.ndarray):
        if origin.dtype != np.float32 or origin.ndim not in (1, 2, 3) or not np.isfinite(origin).all():
            raise InputError(
                f"{where}: latent is {origin.dtype} {origin.shape}; expected finite float32 of 1 to 3 axes"
            )
    elif origin is not None and not 0 <= origin < 2**64:
        raise InputError(f"{where}: seed {origin} is outside 0 to 2^64 - 1")


def _check_values(values: np.ndarray, labels: Contents, size: tuple[int, ...], where: str) -> None:
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
