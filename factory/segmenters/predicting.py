"""Each downstream task as one plain function: train on pairs, predict a folder, evaluate on human labels."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from labelfactory.errors import InputError
from labelfactory.factory.device import resolve_device
from labelfactory.factory.evaluation.evaluation import Evaluation, evaluate
from labelfactory.factory.evaluation.figures import overlay
from labelfactory.factory.evaluation.report import FILES, write_report
from labelfactory.factory.pairs.labelled import FolderOrZip, LabelledPairs, parse_mapping
from labelfactory.factory.pairs.opening import check_same_classes
from labelfactory.factory.segmenters.catalogue import load_segmenter
from labelfactory.factory.segmenters.inference import judged, predict
from labelfactory.factory.segmenters.order import EvaluationOrder, PredictionOrder
from labelfactory.factory.segmenters.training import uses_bf16
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
    model, recipe = load_segmenter(order.segmenter)
    classes, images, out = classes_of(recipe), order.images, order.out
    if images.is_file() and images.suffix.lower() != ".zip":
        read, names = (lambda name: images.read_bytes()), {images.stem: images.name}
    else:
        files = FolderOrZip(images)
        read, names = files.read, files.images()
    where = resolve_device(order.device)
    model.to(where)
    folders = ("masks", "overlays") if order.overlays else ("masks",)
    claim(out, [f"{folder}/{stem}.png" for folder in folders for stem in names])
    for folder in folders:
        (out / folder).mkdir(parents=True, exist_ok=True)
    bf16 = uses_bf16(order.precision, where)
    for stem, name in Progress(sorted(names.items()), unit="image", disable=not progress):
        image = read_image(read(name), name)
        mask = predict(model, image, order.tile, bf16=bf16).argmax(0).astype(np.uint8)
        save_mask(out / "masks" / f"{stem}.png", mask, classes)
        if order.overlays:
            Image.fromarray(overlay(image, mask, classes)).save(out / "overlays" / f"{stem}.png")
    return len(names)


def classes_of(recipe: dict[str, Any]) -> tuple[LabelClass, ...]:
    """The classes that a segmenter was trained for."""
    return tuple(
        LabelClass(c["name"], (c["color"][0], c["color"][1], c["color"][2]), c["thing"]) for c in recipe["classes"]
    )
