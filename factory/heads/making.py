"""From an order to a trained interpreter or regressor in a file: one function for each label kind."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from labelfactory.factory.families import open_generator
from labelfactory.factory.heads.centres import read_objects, train_centres
from labelfactory.factory.heads.classes import InterpreterSettings, train_from_recording, train_interpreter
from labelfactory.factory.heads.consistent_masks import consistent_masks
from labelfactory.factory.heads.keypoints import train_keypoints, with_axis_keypoints
from labelfactory.factory.heads.order import CentreOrder, InterpreterOrder, KeypointOrder
from labelfactory.factory.heads.values import held_out_lines, train_values
from labelfactory.factory.labels.feature_maps import load_labels
from labelfactory.factory.labels.recording import record_features


@dataclass(frozen=True)
class Trained:
    """What was written: its hash, and lines for a person.

    held_out_accuracy  of pixels of images that members had not learned from, their mean, 0 to 1; None where the label
                       kind has no such number
    """

    sha256: str
    lines: tuple[str, ...]
    held_out_accuracy: float | None = None


def make_interpreter(order: InterpreterOrder, progress: bool = True) -> Trained:
    """Trains what ``order`` asks for and writes its file."""
    members, seed = order.ensemble.members, order.ensemble.seed
    settings, lines = InterpreterSettings(members, seed), tuple[str, ...]()
    if order.features is not None:
        interpreter = train_from_recording(order.features, settings, progress)
    else:
        assert order.labels is not None
        assert order.generator is not None
        labels, generator = load_labels(order.labels), open_generator(order.generator, order.device)
        if order.values:
            model = train_values(generator, labels, members, seed, progress=progress)
            model.save(order.out)
            said = f"{order.out}: {members} members from {model.report['images']} images"
            return Trained(_hash(order.out), (said, *held_out_lines(model)))
        if order.consistent_masks:
            labels, offsets = consistent_masks(generator, labels, settings, progress)
            lines = tuple(offset.line(name) for name, offset in offsets.items())
        if order.record is not None:
            record_features(generator, labels, order.record, progress)
        interpreter = train_interpreter(generator, labels, settings, progress)
    interpreter.save(order.out)
    accuracy = interpreter.report["held_out_accuracy"]
    mean, images = float(sum(accuracy) / len(accuracy)), interpreter.report["images"]
    said = f"{order.out}: {members} members from {images} images, held-out pixel accuracy {mean:.1%}"
    return Trained(_hash(order.out), (said, *lines), mean)


def make_keypoints(order: KeypointOrder, progress: bool = True) -> Trained:
    """Trains what ``order`` asks for and writes its file."""
    labels = load_labels(order.labels)
    if order.axis_of is not None:
        labels = with_axis_keypoints(labels, order.axis_of)
    generator, ensemble = open_generator(order.generator, order.device), order.ensemble
    model = train_keypoints(generator, labels, order.sigma, ensemble.members, ensemble.seed, progress=progress)
    said = f"{order.out}: {', '.join(model.names)} from {model.report['images']} images"
    model.save(order.out)
    return Trained(_hash(order.out), (said,))


def make_centres(order: CentreOrder, progress: bool = True) -> Trained:
    """Trains what ``order`` asks for and writes its file."""
    labels = load_labels(order.labels)
    numbers = None if order.objects is None else read_objects(order.objects, labels)
    generator, ensemble = open_generator(order.generator, order.device), order.ensemble
    model = train_centres(generator, labels, numbers, order.sigma, ensemble.members, ensemble.seed, progress=progress)
    model.save(order.out)
    return Trained(_hash(order.out), (f"{order.out}: centres from {model.report['images']} images",))


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
