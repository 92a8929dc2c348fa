"""Training images of one size with optional class labels, checked whole before training starts."""

import io
import json
import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from labelfactory.errors import InputError
from labelfactory.factory.pixels import from_uint8
from labelfactory.factory.training.image_files import is_image, open_source
from labelfactory.interpreters.array_types import Float, UInt8
from labelfactory.interpreters.pictures import SUFFIXES, frames_of
from labelfactory.progress import Progress

FEWEST = 32
REACHED = 0.95  # share of the images that decides their resolution: a few small ones do not
CACHE_BYTES = 2 * 2**30  # images that fit are kept decoded, others are decoded again for every batch
_GREY, _COLOUR = ("1", "L", "LA"), ("RGB", "RGBA", "P", "PA", "CMYK", "YCbCr")
Result = TypeVar("Result")


class ImageDataset:
    """Images as 8-bit tensors.

    source       folder (searched with its subfolders), ``.zip``, or any fsspec URL of either
    resolution   pixels a side, a power of two; None: the largest that the shorter sides of 95 % of the images reach
    fit          "crop": the centre square, resized; "pad": the whole image in a black square, resized
    channels     None: as the images are (all grey or all colour); 1 or 3: convert
    conditional  read class labels from ``dataset.json`` (the official zip's convention: a list of
                 ``[file name, class number]`` under ``labels``; a list of numbers may stand for the class number)

    ``enlarged`` names the images that are smaller than that.

    Raises ``InputError``, naming the file, for one that cannot be read, has several frames or 16 bits, for grey among
    colour images, missing labels, or fewer than 32 images.
    """

    def __init__(
        self,
        source: str | os.PathLike[str],
        resolution: int | None = None,
        fit: str = "crop",
        channels: int | None = None,
        conditional: bool = False,
        progress: bool = False,
    ) -> None:
        if fit not in ("crop", "pad"):
            raise InputError(f"fit {fit!r}: expected 'crop' or 'pad'")
        if channels not in (None, 1, 3):
            raise InputError(f"channels {channels!r}: expected 1 (grey) or 3 (colour)")
        if resolution is not None and (resolution < 8 or resolution & (resolution - 1)):
            raise InputError(f"resolution {resolution}: expected a power of two from 8 on")
        self.source, self.fit, self._progress = os.fspath(source), fit, progress
        self._pool = ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1))
        files, self._read = open_source(self.source)
        self.names = [name for name in files if is_image(name)]
        if len(self.names) < FEWEST:
            raise InputError(
                f"{self.source}: holds {len(self.names)} images ({', '.join(SUFFIXES)}); expected at least {FEWEST}"
            )
        headers = self._each(self._header, "checking headers")
        self.channels = channels or self._common_channels([grey for _, grey in headers])
        sides = [min(size) for size, _ in headers]
        reached = sorted(sides, reverse=True)[math.ceil(REACHED * len(sides)) - 1]
        self.resolution = resolution or 2 ** (reached.bit_length() - 1)
        if self.resolution < 8:
            raise InputError(f"{self.source}: most images have a side of {reached} pixels or less; expected 8 or more")
        self.enlarged = [name for name, side in zip(self.names, sides, strict=True) if side < self.resolution]
        self.labels = self._labels("dataset.json" in files) if conditional else torch.zeros(len(self.names), 0)
        self._ahead: tuple[tuple[int, ...], Future[Tensor]] | None = None
        self._cache: Tensor | None = None
        if len(self) * self.channels * self.resolution**2 <= CACHE_BYTES:
            self._cache = torch.stack(self._each(self._decode, "reading images"))
        else:
            self._each(lambda name: self._decode(name) is None, "checking images")

    def __len__(self) -> int:
        return len(self.names)

    def remarks(self) -> list[str]:
        """Lines for a person: which images are smaller than the resolution."""
        if not self.enlarged:
            return []
        few = ", ".join(self.enlarged[:5]) + (" ..." if len(self.enlarged) > 5 else "")
        count = f"{len(self.enlarged)} of {len(self)} images"
        return [f"{count} are smaller than {self.resolution} pixels and are enlarged (remove them if in doubt): {few}"]

    @property
    def label_dim(self) -> int:
        """Columns of ``labels``; 0 without classes."""
        return int(self.labels.shape[1])

    def batch(self, indices: Sequence[int], then: Sequence[int] = ()) -> UInt8[Tensor, "batch channels height width"]:
        """Images by index; those of ``then`` are decoded meanwhile, for the next call."""
        if self._cache is not None:
            return self._cache[torch.as_tensor(indices, dtype=torch.long)]
        if self._ahead is not None and self._ahead[0] == tuple(indices):
            images = self._ahead[1].result()
        else:
            images = self._stack(indices)
        self._ahead = (tuple(then), self._pool.submit(self._stack, then)) if then else None
        return images

    def float_batch(
        self, indices: Sequence[int], then: Sequence[int] = ()
    ) -> Float[Tensor, "batch channels height width"]:
        """Images in [-1, 1]."""
        return from_uint8(self.batch(indices, then))

    def _stack(self, indices: Sequence[int]) -> Tensor:
        return torch.stack([self._decode(self.names[i]) for i in indices])

    def _each(self, function: Callable[[str], Result], task: str) -> list[Result]:
        bar = Progress(total=len(self.names), desc=task, unit="images", disable=not self._progress, leave=False)
        results = []
        with bar:
            for result in self._pool.map(function, self.names):
                results.append(result)
                bar.update()
        return results

    def _open(self, name: str) -> Image.Image:
        try:
            return Image.open(io.BytesIO(self._read(name)))
        except Exception as error:  # Pillow's decoders raise many kinds
            raise self._unreadable(name, error) from None

    def _unreadable(self, name: str, error: Exception) -> InputError:
        detail = " ".join(str(error).split())[:120]
        return InputError(f"{self.source}: {name} cannot be read as an image ({detail}); repair or remove it")

    def _header(self, name: str) -> tuple[tuple[int, int], bool]:
        """Width and height, and whether it is grey."""
        image = self._open(name)
        frames = frames_of(image)
        if frames > 1:
            raise InputError(f"{self.source}: {name} holds {frames} frames; save each as an image of its own")
        if image.mode not in _GREY + _COLOUR:
            raise InputError(
                f"{self.source}: {name} has pixels of kind {image.mode!r}; expected 8 bits, grey or colour: "
                "convert it with the contrast that you want"
            )
        return image.size, image.mode in _GREY

    def _common_channels(self, grey: list[bool]) -> int:
        if all(grey) or not any(grey):
            return 1 if grey[0] else 3
        minority = 2 * sum(grey) <= len(grey)  # True: the grey ones are few
        name, kind = self.names[grey.index(minority)], "grey" if minority else "colour"
        raise InputError(
            f"{self.source}: {name} is {kind}, most others are not; make them one kind, or ask for channels 1 or 3"
        )

    def _decode(self, name: str) -> UInt8[Tensor, "channels height width"]:
        image = self._open(name)
        try:
            image = ImageOps.exif_transpose(image).convert("L" if self.channels == 1 else "RGB")
            size = (self.resolution, self.resolution)
            if image.size != size:
                method = Image.Resampling.LANCZOS
                fitted = ImageOps.fit if self.fit == "crop" else ImageOps.pad
                image = fitted(image, size, method=method)
            pixels = np.array(image, dtype=np.uint8)
        except Exception as error:  # Pillow's decoders raise many kinds
            raise self._unreadable(name, error) from None
        return (
            torch.from_numpy(pixels).view(self.resolution, self.resolution, self.channels).permute(2, 0, 1).contiguous()
        )

    def _labels(self, listed: bool) -> Float[Tensor, "images classes"]:
        """One-hot rows, or the vectors that the file gives."""
        where = f"{self.source}: dataset.json"
        if not listed:
            raise InputError(f"{where} is missing; class labels are read from there")
        try:
            table = {str(name): label for name, label in json.loads(self._read("dataset.json"))["labels"]}
        except (ValueError, TypeError, KeyError):
            raise InputError(f'{where}: expected {{"labels": [["file.png", 0], …]}}') from None
        missing = [name for name in self.names if name not in table]
        if missing:
            raise InputError(f"{where} has no label for {missing[0]}")
        values = [table[name] for name in self.names]
        if all(type(value) is int and value >= 0 for value in values):
            return torch.nn.functional.one_hot(torch.tensor(values)).float()
        try:
            vectors = torch.tensor(values, dtype=torch.float32)
        except (ValueError, TypeError):
            vectors = torch.zeros(0)
        if vectors.ndim != 2 or not vectors.isfinite().all():
            raise InputError(f"{where}: labels are neither all class numbers from 0 nor all lists of as many numbers")
        return vectors
