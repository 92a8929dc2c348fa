"""A fix teaches its kin: suspects of a store become samples of the label set, with the labels that they have so far."""

from dataclasses import replace

from labelfactory.errors import InputError
from labelfactory.factory.audit.order import CorrectionOrder
from labelfactory.factory.latents import drawn_classes
from labelfactory.interpreters.labelset import LabelSet, Sample
from labelfactory.storage import open_dataset
from labelfactory.storage.exclusion import read_exclusion, read_list


def add_suspects(order: CorrectionOrder) -> list[str]:
    """Adds the worst suspects that are not in the set yet; their names.

    What an interpreter got wrong there, it got wrong on every image that looks alike: corrected, they teach it.

    Raises InputError where store and label set are not of the same generator, truncation, classes and crop, or where
    the list is another store's.
    """
    labels = LabelSet.load(order.labels)
    dataset = open_dataset(order.pairs, fields=("image", "mask"), keep=False)
    spec = dataset.spec
    read_exclusion(order.suspects, spec)  # is it a list of this store?
    if spec.walk:
        raise InputError(f"{order.pairs}: is made of walks, whose frames have no seed of their own to add samples by")
    ours = (
        labels.generator_sha256,
        labels.truncation,
        labels.class_names,
        () if labels.crop is None else tuple(labels.crop.numbers),
    )
    theirs = (spec.generator_sha256, spec.truncation, tuple(c.name for c in spec.classes), tuple(spec.crop))
    for name, own, other in zip(("generator", "truncation", "classes", "crop"), ours, theirs, strict=True):
        if own != other:
            raise InputError(f"{order.pairs}: its {name} is {other}, the label set's {own}; they must be the same")
    known = {sample.origin for sample in labels if isinstance(sample.origin, int)}
    added: list[Sample] = []
    for suspect in read_list(order.suspects)[0]:
        index = suspect["index"]
        seed = int(dataset.read("seed", [index])[0])
        if seed in known or len(added) == order.most:
            continue
        drawn = drawn_classes([seed], spec.conditions)
        image, mask = (dataset.read(name, [index])[0] for name in ("image", "mask"))
        condition = None if drawn is None else int(drawn[0])
        added.append(Sample(f"suspect-{index:08d}", image, mask, seed, condition=condition))
    if not added:
        raise InputError(f"{order.labels}: has all of these suspects already")
    replace(labels, samples=(*labels.samples, *added)).save(order.labels, overwrite=True)
    return [sample.name for sample in added]
