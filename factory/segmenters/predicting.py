"""Each downstream task as one plain function: train on pairs, predict a folder, evaluate on human labels."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from labelfactory.factory.device import resolve_device
from labelfactory.factory.evaluation.evaluation import Evaluation, evaluate
from labelfactory.factory.evaluation.figures import overlay
from labelfactory.factory.evaluation.report import write_report
from labelfactory.factory.pairs.labelled import FolderOrZip, LabelledPairs, parse_mapping
from labelfactory.factory.pairs.opening import check_same_classes
from labelfactory.factory.segmenters.catalogue import load_segmenter
from labelfactory.factory.segmenters.inference import judged, predict
from labelfactory.factory.segmenters.training import uses_bf16
from labelfactory.interpreters.classes import LabelClass
from labelfactory.interpreters.pictures import read_image, save_mask


def evaluate_segmenter(
    segmenter: Path,
    images: Path,
    out: Path,
    masks: Path | None = None,
    mapping: str | None = None,
    numbered: bool = False,
    tile: int = 512,
    precision: str = "auto",
    device: str = "auto",
    progress: bool = True,
) -> tuple[Evaluation, dict[str, Path]]:
    """Score a segmenter on what people labelled and write the report into the folder ``out``."""
    model, recipe = load_segmenter(segmenter)
    classes = classes_of(recipe)
    pairs = LabelledPairs(images, masks, None if mapping is None else parse_mapping(mapping), numbered)
    if pairs.classes is not None and mapping is None:
        check_same_classes(str(segmenter), classes, str(images), pairs.classes)
    if pairs.classes is not None and len(pairs.classes) == len(classes):
        classes = pairs.classes  # people's own colours, and which classes are objects
    where = resolve_device(device)
    model.to(where)
    result = evaluate(judged(model, pairs, uses_bf16(precision, where), tile, progress), classes)
    trained_on = ", ".join(f"{t['pairs']:,} pairs of {t['source']}" for t in recipe.get("trained_on", []))
    about = f"{recipe['name']}" + (f", trained on {trained_on}" if trained_on else "") + f"; evaluated on {images}"
    return result, write_report(result, out, f"{segmenter.stem} on {images.stem}", about, recipe.get("history"))


def predict_files(
    segmenter: Path,
    images: Path,
    out: Path,
    overlays: bool = True,
    tile: int = 512,
    precision: str = "auto",
    device: str = "auto",
    progress: bool = True,
) -> int:
    """Write ``out/masks/NAME.png`` (8-bit indexed), and ``out/overlays``, for each picture of a folder or zip."""
    model, recipe = load_segmenter(segmenter)
    classes = classes_of(recipe)
    if images.is_file() and images.suffix.lower() != ".zip":
        read, names = (lambda name: images.read_bytes()), {images.stem: images.name}
    else:
        files = FolderOrZip(images)
        read, names = files.read, files.images()
    where = resolve_device(device)
    model.to(where)
    for folder in ("masks", "overlays") if overlays else ("masks",):
        (out / folder).mkdir(parents=True, exist_ok=True)
    for stem, name in tqdm(sorted(names.items()), unit="image", disable=not progress):
        image = read_image(read(name), name)
        mask = predict(model, image, tile, bf16=uses_bf16(precision, where)).argmax(0).astype(np.uint8)
        save_mask(out / "masks" / f"{stem}.png", mask, classes)
        if overlays:
            Image.fromarray(overlay(image, mask, classes)).save(out / "overlays" / f"{stem}.png")
    return len(names)


def classes_of(recipe: dict[str, Any]) -> tuple[LabelClass, ...]:
    """The classes that a segmenter was trained for."""
    return tuple(
        LabelClass(c["name"], (c["color"][0], c["color"][1], c["color"][2]), c["thing"]) for c in recipe["classes"]
    )
