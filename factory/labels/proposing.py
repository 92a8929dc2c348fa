"""Masks proposed for samples that nobody has labelled yet."""

from pathlib import Path

import numpy as np

from labelfactory.errors import InputError
from labelfactory.factory.families import open_generator
from labelfactory.factory.labels.feature_maps import generated, load_labels
from labelfactory.factory.labels.order import ExportLabelsOrder
from labelfactory.interpreters import StyleInterpreter
from labelfactory.interpreters.formats import Work, export_labels
from labelfactory.interpreters.labelset import LabelSet


def predict_masks(
    labels: LabelSet, interpreter_path: Path, uri: str | None = None, device: str = "auto"
) -> tuple[dict[str, np.ndarray], dict[str, float], str]:
    """Masks and uncertainty scores of the samples that nobody has labelled yet, and the interpreter's name.

    InputError where label set, interpreter and generator do not belong together.
    """
    generator = open_generator(uri or labels.generator_uri, device)
    labels.check_generator(generator.sha256)
    interpreter = StyleInterpreter.load(interpreter_path).to(generator.device)
    if interpreter.generator_sha256 != generator.sha256:
        raise InputError(
            f"{interpreter_path}: belongs to another generator than the label set; give the one trained on it"
        )
    if [c["name"] for c in interpreter.classes] != list(labels.class_names):
        raise InputError(f"{interpreter_path}: its classes differ from the label set's {', '.join(labels.class_names)}")
    masks, scores = {}, {}
    for sample in labels:
        if not sample.labelled:
            maps = generated(generator, labels, sample).feature_maps
            prediction = interpreter.predict(maps, crop=labels.crop)
            masks[sample.name] = prediction.mask[0].cpu().numpy()
            scores[sample.name] = float(prediction.score[0])
    return masks, scores, f"{interpreter_path.stem}-{interpreter.sha256[:8]}"


def export_for_labelling(order: ExportLabelsOrder) -> list[str]:
    """Writes the label set for a labelling tool, with an interpreter's masks to start from; lines for a person."""
    label_set = load_labels(order.labels)
    masks: dict[str, np.ndarray] = {}
    scores: dict[str, float] = {}
    version = "labels"
    if order.interpreter is not None:
        masks, scores, version = predict_masks(label_set, order.interpreter, order.generator, order.device)
    masks |= {s.name: s.mask for s in label_set if s.labelled}
    return export_labels(Work(label_set, masks, version, scores, order.url_prefix), order.out, order.format)
