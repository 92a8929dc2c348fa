"""Sources of pairs by their address: folders, zips and stores."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from labelfactory.errors import InputError
from labelfactory.factory.device import this_device
from labelfactory.factory.pairs.exclusion import read_names
from labelfactory.factory.pairs.labelled import LabelledPairs, Pictures
from labelfactory.factory.pairs.live_pairs import LivePairs
from labelfactory.factory.pairs.pairs import Pairs
from labelfactory.factory.pairs.store_pairs import StorePairs
from labelfactory.factory.production.endless import EndlessPairs
from labelfactory.factory.production.models import models_of
from labelfactory.factory.production.order import Order
from labelfactory.factory.production.prepare import prepare
from labelfactory.interpreters.classes import LabelClass
from labelfactory.storage import DatasetSpec


def open_source(
    uri: str,
    keep: bool = True,
    temperature: float | None = None,
    limit: int | None = None,
    extra: Sequence[str] = (),
    exclude: Path | None = None,
) -> tuple[Pairs, tuple[LabelClass, ...]]:
    """A labelled folder or zip, or a dataset store, and its classes; ``extra`` as for ``StorePairs``.

    ``exclude``: a list of pairs to leave out (``suspects.json`` of ``factory audit``).
    """
    path = Path(uri)
    if path.is_file() or (path.is_dir() and (path / "images").is_dir()):
        labelled = LabelledPairs(path)
        if labelled.classes is None:
            raise InputError(
                f'{uri} names no classes: put classes.json beside images/, like [{{"name": "background"}}, '
                '{"name": "nucleus", "thing": true}]'
            )
        labelled.settle_white(len(labelled.classes))
        if exclude is not None:
            labelled.leave_out(read_names(exclude))
        return labelled, labelled.classes
    if "://" not in uri and not (path / "zarr.json").is_file():
        raise InputError(f"{uri}: expected a dataset store, or a folder or zip with images/ and masks/")
    store = StorePairs(uri, keep, temperature, limit, extra, exclude)
    return store, _classes(store.dataset.spec)


def open_live(
    order: Order, keep: bool = True, temperature: float | None = None, progress: bool = True
) -> tuple[Pairs, tuple[LabelClass, ...]]:
    """Pairs that are made when they are needed, as ``order`` would make them for a store, and their classes."""
    job = prepare(replace(order, device=this_device(order.device)), progress=progress)
    endless = EndlessPairs(job, models_of(job), keep)
    pairs = LivePairs(endless, order.count, temperature)
    pairs.fetch([0])  # on CUDA its work is recorded here, before another thread makes pairs and this one trains
    return pairs, _classes(job.spec)


def _classes(spec: DatasetSpec) -> tuple[LabelClass, ...]:
    return tuple(LabelClass(c.name, c.color, bool(c.thing)) for c in spec.classes)


def open_pictures(uri: str) -> Pairs:
    """The images of a folder, a zip or a dataset store; labels are not needed."""
    path = Path(uri)
    if "://" in uri or (path / "zarr.json").is_file():
        return StorePairs(uri, keep=False)
    return Pictures(path)


def check_same_classes(first: str, classes: Sequence[LabelClass], second: str, others: Sequence[LabelClass]) -> None:
    """InputError unless both name the same classes in the same order."""
    ours, theirs = [c.name for c in classes], [c.name for c in others]
    if ours != theirs:
        raise InputError(
            f"{second} has classes {', '.join(theirs)}; {first} has {', '.join(ours)}: they must be the same, in order"
        )


def median_frequency(pairs: Pairs, num_classes: int, images: int = 512) -> tuple[float, ...]:
    """Median class frequency over each class's own (Eigen and Fergus, ICCV 2015, section 6.3.2), from some images.

    A class's frequency is its share of the pixels of the images that it occurs in; one that occurs nowhere weighs 1.
    """
    chosen = np.linspace(0, len(pairs) - 1, min(images, len(pairs))).astype(int).tolist()
    pixels, present = np.zeros(num_classes), np.zeros(num_classes)
    for pair in pairs.fetch(chosen):
        counts = np.bincount(pair.mask.ravel(), minlength=256)[:num_classes]
        pixels += counts
        present += np.where(counts > 0, counts.sum(), 0)
    frequency = np.divide(pixels, present, out=np.full(num_classes, np.nan), where=present > 0)
    weights = np.nan_to_num(np.nanmedian(frequency) / frequency, nan=1.0)
    return tuple(float(w) for w in weights)
