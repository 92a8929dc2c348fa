"""Each downstream task as one plain function: train on pairs, predict a folder, evaluate on human labels."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from labelfactory.errors import InputError
from labelfactory.factory.device import resolve_device
from labelfactory.factory.evaluation.evaluation import Evaluation, evaluate
from labelfactory.factory.evaluation.figures import overlay
from labelfactory.factory.evaluation.report import FILES, write_report
from labelfactory.factory.families import open_generator
from labelfactory.factory.generator import seeing
from labelfactory.factory.pairs.labelled import FolderOrZip, LabelledPairs, parse_mapping
from labelfactory.factory.pairs.opening import check_same_classes
from labelfactory.factory.segmenters.catalogue import load_segmenter
from labelfactory.factory.segmenters.inference import judged, predict
from labelfactory.factory.segmenters.order import EvaluationOrder, PredictionOrder
from labelfactory.factory.segmenters.training import uses_bf16
from labelfactory.interpreters import StyleInterpreter
from labelfactory.interpreters.classes import LabelClass
from labelfactory.interpreters.pictures import read_image, save_mask
from labelfactory.ownership import claim
from labelfactory.progress import Progress


def evaluate_segmenter(order: EvaluationOrder, progress: bool = True) -> tuple[Evaluation, dict[str, Path]]:
    """Score a segmenter on what people labelled and write the report into the folder ``order.out``."""
    claim(order.out, FILES)  # a stranger's report in its place is said before the work
    labels, images = order.labels, order.labels.images
    if labels.numbered and labels.map_values is None:
        raise InputError("numbered masks need map values, which say of what class an object number is")
    model, recipe = load_segmenter(order.segmenter)
    classes = classes_of(recipe)
    mapping = None if labels.map_values is None else parse_mapping(labels.map_values)
    pairs = LabelledPairs(images, labels.masks, mapping, labels.numbered)
    if pairs.classes is not None and mapping is None:
        check_same_classes(str(order.segmenter), classes, str(images), pairs.classes)
    pairs.settle_white(len(classes))
    if pairs.classes is not None and len(pairs.classes) == len(classes):
        classes = pairs.classes  # people's own colours, and which classes are objects
    where = resolve_device(order.device)
    model.to(where)
    result = evaluate(judged(model, pairs, uses_bf16(order.precision, where), order.tile, progress), classes)
    trained_on = ", ".join(f"{t['pairs']:,} pairs of {t['source']}" for t in recipe.get("trained_on", []))
    about = f"{recipe['name']}" + (f", trained on {trained_on}" if trained_on else "") + f"; evaluated on {images}"
    title = f"{order.segmenter.stem} on {images.stem}"
    return result, write_report(result, order.out, title, about, recipe.get("history"))


def predict_files(order: PredictionOrder, progress: bool = True) -> int:
    """Write ``masks/NAME.png`` (8-bit indexed), and ``overlays``, for each picture; the number of pictures."""
    classes, mask_of = _predictor(order)
    images, out = order.images, order.out
    if images.is_file() and images.suffix.lower() != ".zip":
        read, names = (lambda name: images.read_bytes()), {images.stem: images.name}
    else:
        files = FolderOrZip(images)
        read, names = files.read, files.images()
    folders = ("masks", "overlays") if order.overlays else ("masks",)
    claim(out, [f"{folder}/{stem}.png" for folder in folders for stem in names])
    for folder in folders:
        (out / folder).mkdir(parents=True, exist_ok=True)
    for stem, name in Progress(sorted(names.items()), unit="image", disable=not progress):
        image = read_image(read(name), name)
        mask = mask_of(image, name)
        save_mask(out / "masks" / f"{stem}.png", mask, classes)
        if order.overlays:
            Image.fromarray(overlay(image, mask, classes)).save(out / "overlays" / f"{stem}.png")
    return len(names)


Predictor = Callable[[np.ndarray, str], np.ndarray]  # the mask of a picture of that name


def _predictor(order: PredictionOrder) -> tuple[tuple[LabelClass, ...], Predictor]:
    if order.segmenter is None:
        return _by_interpreter(order)
    model, recipe = load_segmenter(order.segmenter)
    where = resolve_device(order.device)
    model.to(where)
    bf16 = uses_bf16(order.precision, where)
    return classes_of(
        recipe
    ), lambda image, name: predict(model, image, order.tile, bf16=bf16).argmax(0).astype(np.uint8)


def _by_interpreter(order: PredictionOrder) -> tuple[tuple[LabelClass, ...], Predictor]:
    """An interpreter reads a photograph's features, where its generator looks at photographs."""
    network = seeing(open_generator(str(order.generator), order.device), str(order.generator))
    interpreter = StyleInterpreter.load(str(order.interpreter)).to(network.device)
    if interpreter.generator_sha256 != network.sha256:
        raise InputError(f"{order.interpreter}: belongs to another generator; give the one that it was trained for")

    def mask_of(image: np.ndarray, name: str) -> np.ndarray:
        fitting = np.broadcast_to(image, (*image.shape[:2], network.image_channels)) if image.shape[2] == 1 else image
        if fitting.shape != (*network.size, network.image_channels):
            found, wanted = " x ".join(map(str, image.shape)), " x ".join(map(str, network.size))
            raise InputError(f"{name}: is {found}; the generator looks at {wanted}, {network.image_channels} channels")
        maps = network.see_images(torch.from_numpy(fitting[None].copy()))
        return interpreter.predict(maps).mask[0].cpu().numpy()

    return classes_of({"classes": interpreter.classes}), mask_of


def classes_of(recipe: dict[str, Any]) -> tuple[LabelClass, ...]:
    """The classes that a segmenter was trained for."""
    return tuple(
        LabelClass(c["name"], (c["color"][0], c["color"][1], c["color"][2]), c.get("thing")) for c in recipe["classes"]
    )
