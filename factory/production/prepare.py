"""From an order to a job: everything loaded, checked and trained."""

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from labelfactory.errors import InputError
from labelfactory.factory.families import open_generator
from labelfactory.factory.generator import ImageGenerator
from labelfactory.factory.heads.classes import InterpreterSettings, ensure_interpreter
from labelfactory.factory.heads.head import Head, load_head
from labelfactory.factory.heads.table import head_of
from labelfactory.factory.labels.classes import usual_truncation
from labelfactory.factory.labels.feature_maps import load_labels
from labelfactory.factory.production.job import Job
from labelfactory.factory.production.models import Models, check_interpreter, on_device, remember
from labelfactory.factory.production.order import WALK_DEGREES, Order
from labelfactory.factory.production.siblings import check_siblings
from labelfactory.interpreters import LabelClass, StyleInterpreter
from labelfactory.interpreters.crop import Crop
from labelfactory.interpreters.regression import FeatureRegressor
from labelfactory.storage import ArraySpec, ClassInfo, DatasetSpec
from labelfactory.storage.backends.opening import open_backend
from labelfactory.storage.manifest import MANIFEST


def prepare(
    order: Order,
    cache: Path | None = None,
    progress: bool = True,
    tell: Callable[[str], None] = lambda line: None,
) -> Job:
    """Loads and checks what an order names and trains its interpreter where none is kept; creates no store yet.

    What was loaded stays loaded for this process (``models_of``). ``tell`` hears where the interpreter is from.

    Raises InputError for an unknown generator, labels or an interpreter of another generator, or impossible numbers.
    """
    generator = open_generator(order.generator, order.device).conditioned(order.conditions)
    if order.siblings:
        check_siblings(generator, order.generator)
    truncation = order.truncation
    if order.labels is not None:
        labels = load_labels(order.labels)
        truncation = labels.truncation if truncation is None else truncation
        _check_spec(order, generator.cropped(_crop(order, generator, labels.crop)), labels.classes, truncation)
        try_store(order.out, order.storage_options)
        made = ensure_interpreter(generator, labels, InterpreterSettings(), cache, progress)
        path, interpreter, sha256 = made.path, made.interpreter, made.sha256
        tell(f"interpreter {'reused' if made.reused else 'trained'}: {path}")
    else:
        path = Path(str(order.interpreter))
        content = StyleInterpreter.file.read(path)
        interpreter, sha256 = StyleInterpreter.from_bytes(content, str(path)), hashlib.sha256(content).hexdigest()
    job, models = assemble(order, generator, interpreter, path, sha256, truncation)
    remember(job, models)
    return job


def assemble(
    order: Order,
    generator: ImageGenerator,
    interpreter: StyleInterpreter,
    path: Path,
    sha256: str,
    truncation: float | None,
) -> tuple[Job, Models]:
    """The job of models that are open already, and the models where they compute; ``path`` is the interpreter's."""
    check_interpreter(interpreter, str(path), generator)
    classes = tuple(ClassInfo(c["name"], tuple(c["color"]), c.get("thing")) for c in interpreter.classes)
    generator = generator.cropped(_crop(order, generator, _learned_crop(interpreter, path)))
    spec = _spec(order, generator, classes, sha256, usual_truncation(generator) if truncation is None else truncation)
    heads, arrays = _heads(order, generator)
    job = Job(
        out=order.out,
        spec=replace(spec, label_arrays=arrays),
        interpreter=str(path),
        device=order.device,
        storage_options=dict(order.storage_options),
        heads=order.heads,
    )
    return job, on_device(generator, interpreter, heads)


def _heads(
    order: Order, generator: ImageGenerator
) -> tuple[list[tuple[Head, FeatureRegressor | None]], tuple[ArraySpec, ...]]:
    """The models of the label kinds that an order asks for, and the arrays that they give the store."""
    heads: list[tuple[Head, FeatureRegressor | None]] = []
    arrays: list[ArraySpec] = []
    for name, file in order.heads.items():
        head, model, sha256 = head_of(name), None, ""
        if file:
            content = FeatureRegressor.file.read(file)
            model, sha256 = load_head(content, file, generator, head), hashlib.sha256(content).hexdigest()
        heads.append((head, model))
        arrays += head.arrays(model, sha256, *generator.image_size)
    return heads, tuple(arrays)


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


def _check_spec(order: Order, generator: ImageGenerator, classes: Sequence[LabelClass], truncation: float) -> None:
    """Refuses impossible numbers before minutes of training: the interpreter's hash is not known yet."""
    _spec(order, generator, tuple(ClassInfo(c.name, c.color, c.thing) for c in classes), "0" * 64, truncation)


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
        licence=str(generator.metadata.get("licence", "unknown")),
        crop=generator.crop.numbers if generator.crop else (),
        conditions=generator.conditions,
        siblings=(float(order.siblings), order.sibling_styles, order.sibling_agreement) if order.siblings else (),
        image_packing="" if order.packing == "zstd" else order.packing,
        walk=order.walk or 0,
        walk_degrees=0.0 if order.walk is None else order.walk_degrees or WALK_DEGREES,
    )


def try_store(out: str, storage_options: dict[str, Any]) -> None:
    """WorkError where a new store at a URL could not be written, before minutes of training; paths were tried already.

    An empty object is put there and removed.
    """
    if "://" not in out:
        return
    backend, trial = open_backend(out, storage_options or None), f".trial-{uuid4().hex}"
    if backend.read_many([MANIFEST]) == [None]:
        backend.write({trial: b""})
        backend.delete([trial])
