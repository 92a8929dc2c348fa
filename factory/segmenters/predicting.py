"""Each downstream task as one plain function: train on pairs, predict a folder, evaluate on human labels."""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from labelfactory.errors import InputError
from labelfactory.factory.cache import cache_dir
from labelfactory.factory.device import resolve_device
from labelfactory.factory.evaluation.evaluation import Evaluation, evaluate
from labelfactory.factory.evaluation.predicted import Predicted
from labelfactory.factory.evaluation.report import FILES, write_report
from labelfactory.factory.families import open_generator
from labelfactory.factory.generator import ImageGenerator, Invertible, Seeing
from labelfactory.factory.labels.encoder import ensure_encoder
from labelfactory.factory.labels.inversion import invert
from labelfactory.factory.labels.order import MIN_FIDELITY
from labelfactory.factory.pairs.labelled import FolderOrZip, LabelledPairs, parse_mapping
from labelfactory.factory.pairs.opening import check_same_classes
from labelfactory.factory.segmenters.catalogue import aim_of, load_segmenter
from labelfactory.factory.segmenters.inference import find, judged, predict
from labelfactory.factory.segmenters.order import EvaluationOrder, PredictionOrder
from labelfactory.factory.segmenters.overview import FILES as OVERVIEW
from labelfactory.factory.segmenters.overview import Overview
from labelfactory.factory.segmenters.segmenter import Segmenter
from labelfactory.factory.segmenters.tasks import TASKS, Aim
from labelfactory.factory.segmenters.writing import FOLDERS, OVERLAYS, write_prediction
from labelfactory.factory.training.precision import uses_bf16
from labelfactory.interpreters import StyleInterpreter
from labelfactory.interpreters.pictures import read_image
from labelfactory.ownership import claim
from labelfactory.progress import Progress


def evaluate_segmenter(order: EvaluationOrder, progress: bool = True) -> tuple[Evaluation, dict[str, Path]]:
    """Score a segmenter on what people labelled and write the report into the folder ``order.out``."""
    claim(order.out, FILES)  # a stranger's report in its place is said before the work
    labels, images = order.labels, order.labels.images
    if labels.numbered and labels.map_values is None:
        raise InputError("numbered masks need map values, which say of what class an object number is")
    model, recipe = load_segmenter(order.segmenter)
    aim = aim_of(recipe, str(order.segmenter))
    classes = aim.classes
    mapping = None if labels.map_values is None else parse_mapping(labels.map_values)
    pairs = LabelledPairs(images, labels.masks, mapping, labels.numbered)
    if pairs.classes is not None and mapping is None:
        check_same_classes(str(order.segmenter), classes, str(images), pairs.classes)
    pairs.settle_white(len(classes))
    if pairs.classes is not None and len(pairs.classes) == len(classes):
        classes = pairs.classes  # people's own colours, and which classes are objects
    if aim.keypoints != pairs.points and "keypoints" in TASKS[aim.task].needs:
        there, wanted = ", ".join(pairs.points) or "no key points", ", ".join(aim.keypoints)
        raise InputError(f"{images} has {there}, {order.segmenter} finds {wanted}: they must be the same, in order")
    where = resolve_device(order.device)
    model.to(where)
    said = judged(model, pairs, uses_bf16(order.precision, where), order.tile, progress)
    result = evaluate(said, classes, keypoints=aim.keypoints)
    trained_on = ", ".join(f"{t['pairs']:,} pairs of {t['source']}" for t in recipe.get("trained_on", []))
    about = f"{recipe['name']}" + (f", trained on {trained_on}" if trained_on else "") + f"; evaluated on {images}"
    title = f"{order.segmenter.stem} on {images.stem}"
    return result, write_report(result, order.out, title, about, recipe.get("history"))


def predict_files(order: PredictionOrder, progress: bool = True) -> int:
    """Write what is found in each picture as ``writing.FOLDERS`` says, and ``overlays``; the number of pictures.

    With ``order.overview`` also a contact sheet and a table of them all (``overview``).
    """
    aim, say = _predictor(order)
    images, out = order.images, order.out
    if images.is_file() and images.suffix.lower() != ".zip":
        read, names = (lambda name: images.read_bytes()), {images.stem: images.name}
    else:
        files = FolderOrZip(images)
        read, names = files.read, files.images()
    folders = FOLDERS[aim.task] | (OVERLAYS if order.overlays else {})
    written = [f"{folder}/{stem}.{ending}" for folder, ending in folders.items() for stem in names]
    claim(out, [*written, *(OVERVIEW if order.overview else ())])
    seen = Overview(aim)
    for folder in folders:
        (out / folder).mkdir(parents=True, exist_ok=True)
    for stem, name in Progress(sorted(names.items()), unit="image", disable=not progress):
        image = read_image(read(name), name)
        predicted = say(image, name)
        write_prediction(out, stem, image, predicted, aim, order.overlays)
        if order.overview:
            seen.add(stem, image, predicted)
    if order.overview:
        seen.write(out)
    return len(names)


Predictor = Callable[[np.ndarray, str], Predicted]  # what is found in a picture of that name


def _predictor(order: PredictionOrder) -> tuple[Aim, Predictor]:
    if order.segmenter is None:
        return _by_interpreter(order)
    model, recipe = load_segmenter(order.segmenter)
    where = resolve_device(order.device)
    model.to(where)
    bf16 = uses_bf16(order.precision, where)

    def say(image: np.ndarray, name: str) -> Predicted:
        if isinstance(model, Segmenter) and model.task == "semantic":
            found = predict(model, image, order.tile, bf16=bf16)
            return Predicted(found.argmax(0).astype(np.uint8), found)
        return find(model, image[None], bf16)[0]

    return aim_of(recipe, str(order.segmenter)), say


def _by_interpreter(order: PredictionOrder) -> tuple[Aim, Predictor]:
    """An interpreter reads a photograph's features, where its generator looks at it or makes it again."""
    network = open_generator(str(order.generator), order.device)
    interpreter = StyleInterpreter.load(str(order.interpreter)).to(network.device)
    if interpreter.generator_sha256 != network.sha256:
        raise InputError(f"{order.interpreter}: belongs to another generator; give the one that it was trained for")
    look = _seen(network) if isinstance(network, Seeing) else _made_again(network, str(order.generator))

    def say(image: np.ndarray, name: str) -> Predicted:
        fitting = np.broadcast_to(image, (*image.shape[:2], network.image_channels)) if image.shape[2] == 1 else image
        if fitting.shape != (*network.size, network.image_channels):
            found, wanted = " x ".join(map(str, image.shape)), " x ".join(map(str, network.size))
            raise InputError(f"{name}: is {found}; the generator looks at {wanted}, {network.image_channels} channels")
        maps = look(torch.from_numpy(fitting[None].copy()), name)
        return Predicted(interpreter.predict(maps).mask[0].cpu().numpy())

    return aim_of({"classes": interpreter.classes}, str(order.interpreter)), say


Look = Callable[[torch.Tensor, str], Sequence[torch.Tensor]]  # feature maps of a picture of that name


def _seen(network: Seeing) -> Look:
    return lambda images, name: network.see_images(images)


def _made_again(network: ImageGenerator, where: str) -> Look:
    """Feature maps of photographs by inversion: encoder and optimisation find what the generator makes them from."""
    if not isinstance(network, Invertible):
        raise InputError(f"{where}: this kind of generator can neither look at photographs nor make them again")
    able, encoder = network, ensure_encoder(network, cache_dir())

    def look(images: torch.Tensor, name: str) -> Sequence[torch.Tensor]:
        found = invert(able, images.numpy(), encoder, progress=False)
        if found.fidelity[0] < MIN_FIDELITY:
            warnings.warn(
                f"{name}: the generator makes it poorly (fidelity {found.fidelity[0]:.2f}, below {MIN_FIDELITY}): "
                "its labels are doubtful",
                stacklevel=2,
            )
        return able.generate(torch.from_numpy(found.ws)).feature_maps

    return look
