"""A label set whose incomplete masks are completed by a restorer, and marked as such."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from labelfactory.errors import InputError
from labelfactory.factory.device import resolve_device
from labelfactory.factory.training.precision import uses_bf16
from labelfactory.factory.translation.restorer import LoadedRestorer, load_restorer
from labelfactory.factory.translation.restoring import remarks, restore
from labelfactory.interpreters.labelset import LabelSet
from labelfactory.limits import IGNORE_INDEX


def complete(labels: LabelSet, path: Path, device: str = "auto") -> tuple[LabelSet, list[str]]:
    """The set with every incomplete mask completed, and lines for a person.

    What a person drew stays as it is, and is kept beside the mask (``Sample.drawn``). Samples that are whole, or that
    nobody drew in, stay. InputError where the restorer is of other classes.
    """
    restorer = load_restorer(path, resolve_device(device))
    check_classes(restorer, labels)
    bf16 = uses_bf16("auto", restorer.network.temperature.device)
    samples, lines, drawn, whole = [], [], np.zeros(256, np.int64), np.zeros(256, np.int64)
    for sample in labels:
        missing = sample.mask == IGNORE_INDEX
        if missing.any() and not missing.all():
            made = restore(restorer, sample.mask, sample.image if restorer.sees_pictures else None, bf16=bf16)
            mask = np.where(missing, made.mask, sample.mask)
            doubt = float(made.uncertainty[missing].mean())
            lines.append(f"{sample.name}: {missing.sum()} pixels restored, mean uncertainty {doubt:.2f} nats")
            drawn += np.bincount(sample.mask.ravel(), minlength=256)
            whole += np.bincount(mask.ravel(), minlength=256)
            sample = sample._replace(mask=mask, drawn=sample.mask, restored_by=restorer.sha256)
        samples.append(sample)
    lines += remarks(restorer, drawn, whole)
    return replace(labels, samples=tuple(samples)), lines


def check_classes(restorer: LoadedRestorer, labels: LabelSet) -> None:
    """InputError unless the restorer knows the label set's classes, in their order."""
    ours, theirs = [c.name for c in restorer.classes], list(labels.class_names)
    if ours != theirs:
        raise InputError(f"{restorer.where}: has classes {', '.join(ours)}; the label set has {', '.join(theirs)}")
