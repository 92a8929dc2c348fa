"""Segmenters' own labels for the images that they were trained on: what they say of all symmetric views, averaged."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy import ndarray as Array

from labelfactory.errors import InputError
from labelfactory.factory.pairs.pairs import Pair, Pairs
from labelfactory.factory.segmenters.order import MAX_TEACHERS
from labelfactory.factory.segmenters.segmenter import Segmenter
from labelfactory.factory.symmetry import dihedral, undo_dihedral
from labelfactory.interpreters.array_types import UInt8
from labelfactory.progress import Progress
from labelfactory.whole_files import whole_path


@torch.no_grad()
def relabel(
    teachers: Sequence[Segmenter],
    images: UInt8[Array, "sample height width channels"],
    bf16: bool = False,
    batch_size: int = 64,
) -> UInt8[Array, "sample height width"]:
    """Masks of square images of one size: the class of the highest mean probability over the eight turns and mirrors.

    The teachers answer the views in turn, so that several cost no more than one: a mean over views and networks.

    Networks average out what differs from label to label, so that these are often better than what the segmenter
    learned from, and a second network trained on them learns more (self-training; Xie et al., CVPR 2020).
    """
    if not 1 <= len(teachers) <= MAX_TEACHERS:
        raise InputError(f"{len(teachers)} teachers: expected 1 to {MAX_TEACHERS}")
    first = teachers[0]
    device = next(first.parameters()).device
    masks = np.empty(images.shape[:3], np.uint8)
    for start in range(0, len(images), batch_size):
        part = torch.from_numpy(images[start : start + batch_size]).to(device).permute(0, 3, 1, 2)
        total = torch.zeros(len(part), first.num_classes, *part.shape[2:], device=device)
        for element in range(8):
            teacher = teachers[element % len(teachers)]
            view = dihedral(part, element).permute(0, 2, 3, 1)
            with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                found = teacher.probabilities(view.contiguous())
            total += undo_dihedral(found.float(), element)
        masks[start : start + batch_size] = total.argmax(1).to(torch.uint8).cpu().numpy()
    return masks


class Relabelled(Pairs):
    """The images of other pairs with masks of segmenters' own, which lie in the file ``masks`` (.npy), not in memory.

    A file that is there is what an interrupted run made. InputError where the images are not square, or not all of one
    size.
    """

    def __init__(
        self,
        pairs: Pairs,
        teachers: Sequence[Segmenter],
        masks: Path,
        bf16: bool = False,
        block: int = 512,
        progress: bool = True,
    ) -> None:
        self.pairs = pairs
        height, width = pairs[0].mask.shape
        if height != width:
            raise InputError(f"images of {height} x {width} pixels: more than one round needs square ones")
        if not masks.exists():
            with whole_path(masks) as unfinished:
                self._write(unfinished, teachers, (len(pairs), height, width), bf16, block, progress)
        self.masks = np.load(masks, mmap_mode="r")
        if self.masks.shape != (len(pairs), height, width):
            raise InputError(f"{masks} holds masks of other images: delete it")

    def _write(
        self,
        path: Path,
        teachers: Sequence[Segmenter],
        shape: tuple[int, int, int],
        bf16: bool,
        block: int,
        progress: bool,
    ) -> None:
        pairs = self.pairs
        found = np.lib.format.open_memmap(path, "w+", np.uint8, shape)
        with Progress(total=len(pairs), desc="relabel", unit="image", disable=not progress) as bar:
            for start in range(0, len(pairs), block):
                some = pairs.fetch(range(start, min(start + block, len(pairs))))
                if any(p.mask.shape != shape[1:] for p in some):
                    raise InputError("images of different sizes: more than one round needs images of one size")
                found[start : start + len(some)] = relabel(teachers, np.stack([p.image for p in some]), bf16)
                bar.update(len(some))
        found.flush()

    def __len__(self) -> int:
        return len(self.pairs)

    def fetch(self, indices: Sequence[int]) -> list[Pair]:
        """The pairs of these numbers; the weights of the old labels say nothing about the new ones."""
        found = self.pairs.fetch(indices)
        return [replace(p, mask=np.array(self.masks[i]), weights=None) for i, p in zip(indices, found, strict=True)]
