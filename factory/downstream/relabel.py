"""A segmenter's own labels for the images that it was trained on: what it says of all symmetric views, averaged."""

import numpy as np
import torch
from numpy import ndarray as Array
from tqdm import tqdm

from factory.downstream.augment import dihedral
from factory.downstream.segmenter import Segmenter
from interpreters.shapes import UInt8


@torch.no_grad()
def relabel(
    model: Segmenter,
    images: UInt8[Array, "sample height width channels"],
    bf16: bool = False,
    batch_size: int = 64,
    progress: bool = False,
) -> UInt8[Array, "sample height width"]:
    """Masks of square images of one size: the class of the highest mean probability over the eight turns and mirrors.

    Networks average out what differs from label to label, so that these are often better than what the segmenter
    learned from, and a second network trained on them learns more (self-training; Xie et al., CVPR 2020).
    """
    device = next(model.parameters()).device
    masks = np.empty(images.shape[:3], np.uint8)
    for start in tqdm(range(0, len(images), batch_size), desc="relabel", unit="batch", disable=not progress):
        part = torch.from_numpy(images[start : start + batch_size]).to(device).permute(0, 3, 1, 2)
        total = torch.zeros(len(part), model.num_classes, *part.shape[2:], device=device)
        for element in range(8):
            view = dihedral(part, element).permute(0, 2, 3, 1)
            with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                found = model.probabilities(view.contiguous())
            total += _undo(found.float(), element)
        masks[start : start + batch_size] = total.argmax(1).to(torch.uint8).cpu().numpy()
    return masks


def _undo(x: torch.Tensor, element: int) -> torch.Tensor:
    """The inverse of ``dihedral``: turned back first, then transposed back."""
    x = torch.rot90(x, -(element % 4), (-2, -1))
    return x.transpose(-1, -2) if element >= 4 else x
