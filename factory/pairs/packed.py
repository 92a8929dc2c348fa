"""Pictures and labels as PNG in a file of tensors: what a store carries along to be made again without its sources."""

import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy import ndarray as Array
from PIL import Image
from torch import Tensor

from labelfactory.array_types import Int, UInt8
from labelfactory.errors import InputError
from labelfactory.factory.cache import cache_dir
from labelfactory.limits import IGNORE_INDEX
from labelfactory.tensor_file import TensorFile

MAX_OBJECT = 2**16 - 1  # number that a PNG of 16 bits holds


def packed_bytes(content: bytes) -> Tensor:
    """A file as a tensor."""
    return torch.frombuffer(bytearray(content), dtype=torch.uint8)


def packed(values: Array) -> Tensor:
    """A map of labels, or a picture with or without an axis of one channel, as PNG."""
    flat = values[..., 0] if values.ndim == 3 and values.shape[2] == 1 else values
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(flat)).save(buffer, "PNG")
    return packed_bytes(buffer.getvalue())


def unpacked(data: Tensor) -> Array:
    """What was packed; a grey picture without its axis of channels."""
    return np.array(Image.open(io.BytesIO(data.numpy().tobytes())))


def unpacked_picture(data: Tensor) -> UInt8[Array, "height width channels"]:
    """A picture with its axis of channels."""
    picture = unpacked(data)
    return picture[..., None] if picture.ndim == 2 else picture


def sealed(file: TensorFile, files: dict[str, Tensor], header: dict[str, Any]) -> tuple[bytes, str]:
    """An archive's bytes and their sha256."""
    content = file.pack(files, header)
    return content, hashlib.sha256(content).hexdigest()


def keep(file: TensorFile, content: bytes, sha256: str) -> Path:
    """The archive in the cache, where a job finds it until its store has it."""
    path = cache_dir() / "interpreters" / f"{sha256}.safetensors"
    file.save(path, content)
    return path


def unsealed(file: TensorFile, path: Path, sha256: str, what: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Header and files of an archive of that hash; InputError for another file, which "is not ``what``"."""
    content = file.read(path)
    if hashlib.sha256(content).hexdigest() != sha256:
        raise InputError(f"{path}: is not {what} (expected sha256 {sha256[:12]}...)")
    return file.unpack(content, str(path))


def check_mask(name: str, mask: UInt8[Array, "height width"], count: int) -> None:
    """InputError for a value that is no class."""
    wrong = mask[(mask >= count) & (mask != IGNORE_INDEX)]
    if wrong.size:
        raise InputError(f"{name}: the mask has value {wrong.flat[0]}; expected classes 0 to {count - 1}, or 255")


def fitting_objects(objects: Int[Array, "height width"], name: str) -> Array:
    """Object numbers in 16 bits; InputError for one that has more."""
    if objects.max(initial=0) > MAX_OBJECT:
        raise InputError(f"{name}: has object number {objects.max()}; expected {MAX_OBJECT} at most")
    return objects.astype(np.uint16)
