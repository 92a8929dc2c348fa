"""From an order to a job: everything loaded, checked and trained."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from labelfactory.errors import InputError
from labelfactory.factory.families import open_generator
from labelfactory.factory.generator import ImageGenerator
from labelfactory.factory.heads.classes import InterpreterSettings, ensure_interpreter
from labelfactory.factory.heads.head import REGRESSORS, load_regressor
from labelfactory.factory.labels.feature_maps import load_labels
from labelfactory.factory.production.job import Job
from labelfactory.factory.production.models import hash_of, load_interpreter
from labelfactory.factory.production.order import Order
from labelfactory.interpreters import StyleInterpreter
from labelfactory.interpreters.crop import Crop
from labelfactory.interpreters.values import channels_of
from labelfactory.storage import ClassInfo, DatasetSpec, ValueInfo


def prepare(order: Order, cache: Path | None = None, progress: bool = True) -> Job:
    """Loads and checks what an order names and trains its interpreter where none is kept; creates no store yet.

    Raises InputError for an unknown generator, labels or an interpreter of another generator, or impossible numbers.
    """
    generator = open_generator(order.generator, order.device)
    reused, truncation = True, order.truncation
    if order.labels is not None:
        labels = load_labels(order.labels)
        truncation = labels.truncation if truncation is None else truncation
        classes = tuple(ClassInfo(c.name, c.color, c.thing) for c in labels.classes)
        _spec(order, generator.cropped(_crop(order, generator, labels.crop)), classes, "0" * 64, truncation)
        path, reused = ensure_interpreter(generator, labels, InterpreterSettings(), cache, progress)
    else:
        path = Path(str(order.interpreter))
    interpreter, sha256 = load_interpreter(str(path), generator)
    classes = tuple(ClassInfo(c["name"], tuple(c["color"]), c.get("thing")) for c in interpreter.classes)
    generator = generator.cropped(_crop(order, generator, _learned_crop(interpreter, path)))
    spec = _spec(order, generator, classes, sha256, 0.7 if truncation is None else truncation)
    regressors = {kind: str(file) for kind in REGRESSORS if (file := getattr(order, kind)) is not None}
    for kind, file in regressors.items():
        model = load_regressor(file, generator, kind)
        known: dict[str, Any] = {REGRESSORS[kind]: hash_of(Path(file))}
        if kind == "keypoints":
            known |= {"keypoints": model.names, "keypoint_uncertainty": True}
        elif kind == "values":
            known["values"] = tuple(ValueInfo(c.name, c.unit, c.low, c.high) for c in channels_of(model, file))
        spec = replace(spec, **known)
    return Job(
        out=order.out,
        generator=order.generator,
        generator_sha256=generator.sha256,
        interpreter=str(path),
        spec=spec,
        interpreter_reused=reused,
        device=order.device,
        storage_options=dict(order.storage_options),
        regressors=regressors,
    )


def _crop(order: Order, generator: ImageGenerator, learned: Crop | None) -> Crop | None:
    """What the order says, else what was labelled; InputError where the order asks for more than that."""
    if order.crop is None:
        return learned
    crop = Crop.parse(order.crop, *generator.size)
    if learned is not None and not crop.within(learned):
        raise InputError(f"crop {crop}: reaches beyond {learned}, the part that was labelled")
    return crop


def _learned_crop(interpreter: StyleInterpreter, path: Path) -> Crop | None:
    """The crop of the labels that an interpreter has learned from."""
    numbers = interpreter.extra.get("crop", [])
    if not isinstance(numbers, list) or len(numbers) not in (0, 4) or not all(type(n) is int for n in numbers):
        raise InputError(f"{path}: its crop {numbers!r} is not top, bottom, left, right; train the interpreter again")
    return Crop.of(numbers)


def _spec(
    order: Order, generator: ImageGenerator, classes: tuple[ClassInfo, ...], interpreter_sha256: str, truncation: float
) -> DatasetSpec:
    height, width = generator.image_size
    return DatasetSpec(
        count=order.count,
        height=height,
        width=width,
        channels=generator.image_channels,
        latent_dim=math.prod(generator.latent_shape),
        classes=classes,
        generator=order.generator,
        generator_sha256=generator.sha256,
        interpreter_sha256=interpreter_sha256,
        label_precision="" if order.precision == "auto" else order.precision,
        seed=order.seed,
        truncation=truncation,
        shard_size=order.shard_size,
        instance=order.instances or order.centres is not None,
        licence=str(generator.metadata.get("licence", "unknown")),
        crop=generator.crop.numbers if generator.crop else (),
    )
