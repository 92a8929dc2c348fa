"""Masks from a trained segmenter."""

import numpy as np
import torch
from numpy import ndarray as Array

from factory.downstream.metrics import confusion_matrix
from factory.downstream.pairs import Pairs, collate
from factory.downstream.segmenter import Segmenter
from interpreters.shapes import Int


def dataset_confusion(
    model: Segmenter, pairs: Pairs, batch_size: int = 64, bf16: bool = False
) -> Int[Array, "classes classes"]:
    """The confusion matrix over all pairs."""
    total = np.zeros((model.num_classes, model.num_classes), np.int64)
    device = next(model.parameters()).device
    for start in range(0, len(pairs), batch_size):
        images, masks, _ = collate([pairs[i] for i in range(start, min(start + batch_size, len(pairs)))])
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            predicted = model.probabilities(torch.from_numpy(images)).argmax(1).cpu().numpy()
        total += confusion_matrix(masks, predicted, model.num_classes)
    return total
