"""A network's training, for segmenters round by round: teachers label anew what the last round learns from."""

import warnings
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch

from labelfactory.errors import InputError
from labelfactory.factory.device import resolve_device
from labelfactory.factory.pairs.augmentation import PRESETS
from labelfactory.factory.pairs.balancing import occurrences, weights_like, weights_of_rare
from labelfactory.factory.pairs.border import BorderWeighted
from labelfactory.factory.pairs.exclusion import source_of
from labelfactory.factory.pairs.live_pairs import LivePairs
from labelfactory.factory.pairs.opening import (
    check_same_classes,
    median_frequency,
    open_live,
    open_pictures,
    open_source,
)
from labelfactory.factory.pairs.pairs import ChosenPairs, JoinedPairs, Pairs
from labelfactory.factory.pairs.store_pairs import StorePairs
from labelfactory.factory.segmenters.architectures import SEGMENTERS, serving
from labelfactory.factory.segmenters.catalogue import build_network, checked_options, class_of, save_segmenter
from labelfactory.factory.segmenters.mean_teacher import Unlabelled
from labelfactory.factory.segmenters.network import Network
from labelfactory.factory.segmenters.order import SegmenterOrder
from labelfactory.factory.segmenters.relabel import Relabelled
from labelfactory.factory.segmenters.segmenter import Segmenter
from labelfactory.factory.segmenters.starting import start_from
from labelfactory.factory.segmenters.tasks import TASKS, Aim, pairs_for
from labelfactory.factory.segmenters.training import TrainingReport, train_segmenter
from labelfactory.factory.sensor.sensor import Sensor
from labelfactory.factory.training.precision import uses_bf16
from labelfactory.interpreters.array_types import Int
from labelfactory.interpreters.classes import LabelClass


def train_rounds(order: SegmenterOrder, progress: bool = True) -> TrainingReport:
    """Train and write the network; an interrupted run goes on where its checkpoint (beside ``out``) was made."""
    if order.teachers > 1 and order.rounds == 1:
        raise InputError(f"{order.teachers} teachers label for another round, but rounds is 1: set rounds to 2")
    if order.self_training and (order.rounds == 1 or not order.unlabelled):
        raise InputError("self-training labels unlabelled pictures for another round: set unlabelled, and rounds to 2")
    wanted = order.live_order()
    if not order.pairs and wanted is None:
        raise InputError("nothing to train on: name a store, a folder with images/ and masks/, or make pairs with live")
    checked_options(order.architecture, order.options)
    sensor = None if order.sensor is None else Sensor.load(order.sensor)
    needs = TASKS[order.task].needs
    listed = None if order.exclude is None else source_of(order.exclude, order.pairs)
    sources = [
        open_source(
            uri, order.keep, order.uncertainty_temperature, order.limit, needs, order.exclude if uri == listed else None
        )
        for uri in order.pairs
    ]
    names = list(order.pairs)
    if wanted is not None:
        if needs:
            raise InputError(
                f"live pairs have masks alone; the task {order.task} needs {' and '.join(needs)}: use a store"
            )
        names.append(f"live pairs of {wanted.generator}")
        sources.append(open_live(wanted, order.keep, order.uncertainty_temperature, progress))
    classes = sources[0][1]
    for name, (_, others) in zip(names, sources, strict=True):
        check_same_classes(names[0], classes, name, others)
    parts = [pairs for pairs, _ in sources]
    if sensor is not None and not any(getattr(part, "generated", False) for part in parts):
        raise InputError(f"{order.sensor}: a sensor is for generated pictures; those of {', '.join(names)} are real")
    aim = Aim(order.task, classes, parts[0].points if "keypoints" in needs else ())
    _check_fitting(order, aim)
    for name, part in zip(names, parts, strict=True):
        if "instances" in needs and len(part) and part[0].instances is None:
            told = "has no object numbers: objects are the connected parts of its masks, touching ones count as one"
            warnings.warn(f"{name} {told}", stacklevel=2)
    numbers = [_numbers(order, part, classes, progress) for part in parts]
    parts = [pairs_for(aim, part) for part in parts]
    pairs = _joined(parts, numbers, order.balance, classes if order.border else None)
    validation = None
    if order.validation is not None:
        validation, others = open_source(order.validation, keep=True, extra=needs)
        check_same_classes(names[0], classes, order.validation, others)
    config = replace(
        order.training,
        augmentation=replace(PRESETS[order.augmentation or TASKS[order.task].augmentation], sensor=sensor),
        class_weights=None if order.class_weights == "none" else median_frequency(pairs, len(classes)),
    )
    unlabelled = None
    if order.unlabelled:
        images = JoinedPairs([open_pictures(uri) for uri in order.unlabelled])
        unlabelled = Unlabelled(images, replace(order.mean_teacher, batch_size=config.batch_size))
    channels, device = pairs[0].image.shape[2], resolve_device(order.device)
    if sensor is not None and any(len(row.cast) not in (0, channels) for row in sensor.rows):
        raise InputError(
            f"{order.sensor}: was measured on pictures in colour; those of the pairs have {channels} channel"
        )
    if order.self_training and unlabelled is not None:
        given, needed = unlabelled.images[0].image.shape, pairs[0].image.shape
        if given != needed:
            raise InputError(
                f"unlabelled pictures are {given}, those of the pairs {needed}: self-training needs them alike"
            )
    beside: list[Path] = []

    def trained_on(pairs: Pairs, r: int, k: int, free: Unlabelled | None) -> tuple[Network, TrainingReport]:
        """Network k of round r."""
        beside.append(order.out.with_name(f"{order.out.name}.checkpoint{r or ''}{f'.{k}' if k else ''}"))
        torch.manual_seed(config.seed + r + 100 * k)
        model = build_network(order.architecture, channels, aim, order.backbone_weights, **order.options)
        if order.start is not None:
            start_from(model, order.start, order.architecture)
        if order.freeze is not None:
            model.freeze(int(order.freeze.removeprefix("backbone:")))
        own = replace(config, seed=config.seed + 100 * k)
        return train_segmenter(model, pairs, own, validation, beside[-1], device, progress, unlabelled=free)

    def relabelled(part: Pairs, teachers: Sequence[Segmenter], name: str) -> Pairs:
        """A part with the teachers' labels, which lie beside ``out`` until training is over."""
        beside.append(order.out.with_name(f"{order.out.name}.masks{name}.npy"))
        return Relabelled(part, teachers, beside[-1], uses_bf16(config.precision, device), progress=progress)

    for r in range(order.rounds - 1):  # all rounds but the last only produce better labels for the stores
        trained_ones = [trained_on(pairs, r, k, None)[0] for k in range(order.teachers)]
        teachers = [one for one in trained_ones if isinstance(one, Segmenter)]
        name = f"{r + 1}x{order.teachers}"
        labels = [
            relabelled(part, teachers, f"{name}.{k}") if isinstance(part, (StorePairs, LivePairs)) else part
            for k, part in enumerate(parts)
        ]
        if order.self_training and unlabelled is not None and r + 2 == order.rounds:
            labels.append(relabelled(unlabelled.images, teachers, f"{name}.unlabelled"))
        pairs = _joined(labels, numbers, order.balance, classes if order.border else None)
    trained, report = trained_on(pairs, order.rounds - 1, 0, unlabelled)
    recipe = {
        "name": order.architecture,
        "task": order.task,
        "keypoints": list(aim.keypoints),
        "image_channels": channels,
        "classes": [asdict(c) for c in classes],
        "options": order.options,
        "trained_on": [{"source": name, "pairs": len(p)} for name, p in zip(names, parts, strict=True)],
        "unlabelled": None if unlabelled is None else {"sources": order.unlabelled, **asdict(unlabelled.config)},
        "training": asdict(config),
        "start": None if order.start is None else str(order.start),
        "freeze": order.freeze,
        "rounds": order.rounds,
        "teachers": order.teachers,
        "self_training": order.self_training,
        "like": order.like,
        "rare": order.rare,
        "history": report.history,
    }
    save_segmenter(trained, order.out, recipe)
    for file in beside:
        file.unlink(missing_ok=True)
    return report


def _check_fitting(order: SegmenterOrder, aim: Aim) -> None:
    """InputError where a network cannot do the task, or wishes would have no effect on it."""
    if order.task not in SEGMENTERS[order.architecture].tasks:
        fitting = ", ".join(serving(order.task))
        raise InputError(f"{order.architecture} is no network for {order.task}: choose one of {fitting}")
    semantic = {"rounds": order.rounds > 1, "unlabelled": bool(order.unlabelled), "border": order.border}
    semantic |= {"class-weights": order.class_weights != "none", "loss": order.training.loss != "ce"}
    wished = [name for name, said in semantic.items() if said]
    if wished and class_of(order.architecture).own_loss:
        raise InputError(f"{order.architecture} learns by a loss of its own: leave out {', '.join(wished)}")


def _numbers(
    order: SegmenterOrder, part: Pairs, classes: Sequence[LabelClass], progress: bool
) -> Int[np.ndarray, "n"] | None:
    """Which of a store's pairs are seen, and how often; None: each once."""
    if order.like is None and order.rare is None:
        return None
    if isinstance(part, LivePairs):
        raise InputError("like and rare look at all masks before training, live pairs have none yet: make a store")
    if not isinstance(part, StorePairs):
        return None
    weights = np.ones(len(part))
    if order.like is not None:
        real, others = open_source(order.like, keep=False)
        check_same_classes("the pairs", classes, order.like, others)
        weights = weights_like(part, real, classes, progress)
    if order.rare is not None:
        weights = weights * weights_of_rare(part, classes, order.rare, progress)
    return occurrences(weights)


def _joined(
    parts: Sequence[Pairs],
    numbers: Sequence[Int[np.ndarray, "n"] | None],
    balance: bool,
    border: Sequence[LabelClass] | None,
) -> Pairs:
    """One collection, of the first parts the pairs of these numbers (None: all); ``border`` names the classes where
    border weights are wanted."""
    chosen = [part if n is None else ChosenPairs(part, n) for part, n in zip(parts, numbers, strict=False)]
    parts = [*chosen, *parts[len(chosen) :]]
    largest = max(len(p) for p in parts)
    repeats = [max(1, round(largest / max(1, len(p)))) if balance else 1 for p in parts]
    pairs = parts[0] if len(parts) == 1 else JoinedPairs(parts, repeats)
    return pairs if border is None else BorderWeighted(pairs, classes=border)
