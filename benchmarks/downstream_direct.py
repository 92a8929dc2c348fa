"""Labels of the val crops without a data set: an interpreter reads the features that a generator has of them.

A generator that looks at photographs sees the crops; another one makes them again, by encoder and optimisation.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from downstream import Study, write_result
from downstream_cells import Cell
from downstream_parts import Clock
from torch import Tensor

from labelfactory.factory.cache import cache_dir
from labelfactory.factory.evaluation.metrics import confusion_matrix
from labelfactory.factory.families import open_generator
from labelfactory.factory.generator import ImageGenerator, Invertible, Seeing, invertible
from labelfactory.factory.labels.encoder import ensure_encoder
from labelfactory.factory.labels.inversion import InversionSettings
from labelfactory.factory.labels.real_images import invert_label_set
from labelfactory.interpreters import StyleInterpreter
from labelfactory.interpreters.labelset import LabelSet, Sample

BATCH = 16
Look = Callable[[slice], Sequence[Tensor]]  # feature maps of some of the val crops


def label_directly(study: Study, cell: Cell) -> None:
    """Train a cell's interpreter, let it label the val crops, write the result."""
    clock = Clock()
    generator = open_generator(study.generator(cell.features), study.options.device)
    path = study.interpreter(cell.labels, cell.seed, cell.features)
    interpreter = StyleInterpreter.load(str(path)).to(generator.device)
    result: dict[str, Any] = {"preparation": clock.lap()}
    look = seen(study, generator) if isinstance(generator, Seeing) else made_again(study, invertible(generator))
    clock.lap()
    matrices, masks, count = [], study.val_set.masks, len(study.domain.classes)
    for start in range(0, len(masks), BATCH):
        some = slice(start, start + BATCH)
        found = interpreter.predict(look(some), study.options.precision).mask.cpu().numpy()
        matrices += [confusion_matrix(mask, told, count) for mask, told in zip(masks[some], found, strict=True)]
    write_result(study, cell, np.stack(matrices), result, clock)


def seen(study: Study, generator: Seeing) -> Look:
    """The crops as the generator sees them."""
    return lambda some: generator.see_images(torch.from_numpy(fitting(study, generator, some)))


def fitting(study: Study, generator: ImageGenerator, some: slice) -> np.ndarray:
    """Some val crops with the channels that the generator has."""
    images = study.val_set.images[some]
    return np.broadcast_to(images, (*images.shape[:3], generator.image_channels)).copy()


def made_again(study: Study, generator: Invertible) -> Look:
    """The crops as the generator makes them again; latents are kept, what finding them took in ``inversions/val``."""
    clock, val = Clock(), study.val_set
    samples = zip(val.names, fitting(study, generator, slice(None)), val.masks, strict=True)
    labels = LabelSet(
        study.domain.classes,
        tuple(Sample(name, image, mask, 0) for name, image, mask in samples),
        study.options.generator,
        generator.sha256,
    )
    encoder = ensure_encoder(generator, cache_dir(), study.options.encoder_steps)
    settings = InversionSettings(steps=study.options.inversion_steps)
    found, fared, _ = invert_label_set(generator, labels, study.out / "latents", encoder, settings, keep_poor=True)
    costs = study.out / "inversions" / "val.json"
    if not costs.exists():
        costs.parent.mkdir(exist_ok=True)
        fidelity = [round(one.fidelity, 4) for one in fared]
        costs.write_text(json.dumps({"inversion": clock.lap(), "fidelity": fidelity}))
    ws = np.stack([sample.latent for sample in found])
    return lambda some: generator.generate(ws[some]).feature_maps
