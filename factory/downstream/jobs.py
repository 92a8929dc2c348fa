"""Each downstream task as one plain function: train on pairs, predict a folder, evaluate on human labels."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from labelfactory.errors import InputError
from labelfactory.factory.device import resolve_device
from labelfactory.factory.downstream.catalogue import build_segmenter, load_segmenter, save_segmenter
from labelfactory.factory.downstream.inference import predict
from labelfactory.factory.downstream.losses import LOSSES
from labelfactory.factory.downstream.mean_teacher import MeanTeacherConfig, Unlabelled
from labelfactory.factory.downstream.relabel import MAX_TEACHERS, Relabelled
from labelfactory.factory.downstream.segmenter import Segmenter
from labelfactory.factory.downstream.training import TrainingConfig, TrainingReport, train_segmenter, uses_bf16
from labelfactory.factory.evaluation.evaluation import Evaluation, evaluate
from labelfactory.factory.evaluation.figures import overlay
from labelfactory.factory.evaluation.report import write_report
from labelfactory.factory.pairs.augment import PRESETS
from labelfactory.factory.pairs.border import BorderWeighted
from labelfactory.factory.pairs.labelled import Files, LabelledPairs, decode_image, parse_mapping
from labelfactory.factory.pairs.opening import check_same_classes, median_frequency, open_pictures, open_source
from labelfactory.factory.pairs.pairs import JoinedPairs, Pairs
from labelfactory.factory.pairs.store_pairs import StorePairs
from labelfactory.interpreters.classes import LabelClass
from labelfactory.interpreters.pictures import save_mask

CLASS_WEIGHTS = ("none", "median-frequency")


@dataclass(frozen=True)
class SegmenterOrder:
    """What to train and on what.

    pairs            stores of ours, or folders or zips with images/ and masks/; several are joined
    balance          repeat smaller sources so that each is seen about equally often
    validation       a labelled folder, zip or store for early stopping and the choice of the best weights
    temperature      nats; weighs each pixel of a store by exp(-uncertainty / temperature); None: all alike
    keep             leave out what a store's uncertainty filter drops
    border           U-Net's border weight map
    unlabelled       folders or zips of pictures, or stores: the last round learns from them by mean teacher
    consistency      largest weight of what they add to the loss
    rounds           after each but the last the segmenter labels the stores anew, and a new one learns from that
    teachers         segmenters of each round but the last, of different seeds: they label together
    self_training    they label the unlabelled pictures too, and the last round learns from those labels as well
    """

    pairs: tuple[str, ...]
    out: Path
    architecture: str = "unet-small"
    options: dict[str, Any] = field(default_factory=dict)
    backbone_weights: Path | None = None
    validation: str | None = None
    balance: bool = False
    limit: int | None = None
    keep: bool = True
    temperature: float | None = None
    border: bool = False
    class_weights: str = "none"
    augmentation: str = "dihedral"
    unlabelled: tuple[str, ...] = ()
    consistency: float = 5.0
    rounds: int = 1
    teachers: int = 1
    self_training: bool = False
    training: TrainingConfig = field(default_factory=TrainingConfig)
    device: str = "auto"


def train(order: SegmenterOrder, progress: bool = True) -> TrainingReport:
    """Train and write the segmenter; an interrupted run goes on where its checkpoint (beside ``out``) was made."""
    for name, value, known in (
        ("augmentation", order.augmentation, tuple(PRESETS)),
        ("loss", order.training.loss, LOSSES),
        ("class weighting", order.class_weights, CLASS_WEIGHTS),
    ):
        if value not in known:
            raise InputError(f"unknown {name} {value!r}: choose one of {', '.join(known)}")
    if order.rounds < 1:
        raise InputError(f"rounds is {order.rounds}: expected 1 or more")
    if not 1 <= order.teachers <= MAX_TEACHERS:
        raise InputError(f"teachers is {order.teachers}: expected 1 to {MAX_TEACHERS}")
    if order.teachers > 1 and order.rounds == 1:
        raise InputError(f"{order.teachers} teachers label for another round, but rounds is 1: set rounds to 2")
    if order.self_training and (order.rounds == 1 or not order.unlabelled):
        raise InputError("self-training labels unlabelled pictures for another round: set unlabelled, and rounds to 2")
    if not order.pairs:
        raise InputError("nothing to train on: name a store, or a folder with images/ and masks/")
    sources = [open_source(uri, order.keep, order.temperature, order.limit) for uri in order.pairs]
    classes = sources[0][1]
    for uri, (_, others) in zip(order.pairs, sources, strict=True):
        check_same_classes(order.pairs[0], classes, uri, others)
    parts = [pairs for pairs, _ in sources]
    pairs = _joined(parts, order.balance, order.border)
    validation = None
    if order.validation is not None:
        validation, others = open_source(order.validation, keep=True)
        check_same_classes(order.pairs[0], classes, order.validation, others)
    config = TrainingConfig(
        **{
            **vars(order.training),
            "augmentation": PRESETS[order.augmentation],
            "class_weights": None if order.class_weights == "none" else median_frequency(pairs, len(classes)),
        }
    )
    unlabelled = None
    if order.unlabelled:
        images = JoinedPairs([open_pictures(uri) for uri in order.unlabelled])
        unlabelled = Unlabelled(images, MeanTeacherConfig(order.consistency, batch_size=config.batch_size))
    channels, device = pairs[0].image.shape[2], resolve_device(order.device)
    if order.self_training and unlabelled is not None:
        given, wanted = unlabelled.images[0].image.shape, pairs[0].image.shape
        if given != wanted:
            raise InputError(
                f"unlabelled pictures are {given}, those of the pairs {wanted}: self-training needs them alike"
            )
    beside: list[Path] = []

    def trained_on(pairs: Pairs, r: int, k: int, free: Unlabelled | None) -> tuple[Segmenter, TrainingReport]:
        """Network k of round r."""
        beside.append(order.out.with_name(f"{order.out.name}.checkpoint{r or ''}{f'.{k}' if k else ''}"))
        torch.manual_seed(config.seed + r + 100 * k)
        model = build_segmenter(order.architecture, channels, len(classes), order.backbone_weights, **order.options)
        own = replace(config, seed=config.seed + 100 * k)
        return train_segmenter(model, pairs, own, validation, beside[-1], device, progress, unlabelled=free)

    def relabelled(part: Pairs, teachers: Sequence[Segmenter], name: str) -> Pairs:
        """A part with the teachers' labels, which lie beside ``out`` until training is over."""
        beside.append(order.out.with_name(f"{order.out.name}.masks{name}.npy"))
        return Relabelled(part, teachers, beside[-1], uses_bf16(config.precision, device), progress=progress)

    for r in range(order.rounds - 1):  # rounds before the last serve the stores' labels alone
        teachers = [trained_on(pairs, r, k, None)[0] for k in range(order.teachers)]
        name = f"{r + 1}x{order.teachers}"
        labels = [
            relabelled(part, teachers, f"{name}.{k}") if isinstance(part, StorePairs) else part
            for k, part in enumerate(parts)
        ]
        if order.self_training and unlabelled is not None and r + 2 == order.rounds:
            labels.append(relabelled(unlabelled.images, teachers, f"{name}.unlabelled"))
        pairs = _joined(labels, order.balance, order.border)
    trained, report = trained_on(pairs, order.rounds - 1, 0, unlabelled)
    recipe = {
        "name": order.architecture,
        "image_channels": channels,
        "classes": [asdict(c) for c in classes],
        "options": order.options,
        "trained_on": [{"source": uri, "pairs": len(p)} for uri, p in zip(order.pairs, parts, strict=True)],
        "unlabelled": None if unlabelled is None else {"sources": order.unlabelled, **asdict(unlabelled.config)},
        "training": asdict(config),
        "rounds": order.rounds,
        "teachers": order.teachers,
        "self_training": order.self_training,
        "history": report.history,
    }
    save_segmenter(trained, order.out, recipe)
    for file in beside:
        file.unlink(missing_ok=True)
    return report


def _joined(parts: Sequence[Pairs], balance: bool, border: bool) -> Pairs:
    largest = max(len(p) for p in parts)
    repeats = [max(1, round(largest / max(1, len(p)))) if balance else 1 for p in parts]
    pairs = parts[0] if len(parts) == 1 else JoinedPairs(parts, repeats)
    return BorderWeighted(pairs) if border else pairs


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
    result = evaluate(model, pairs, classes, uses_bf16(precision, where), tile, progress=progress)
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
        files = Files(images)
        read, names = files.read, files.images()
    where = resolve_device(device)
    model.to(where)
    for folder in ("masks", "overlays") if overlays else ("masks",):
        (out / folder).mkdir(parents=True, exist_ok=True)
    for stem, name in tqdm(sorted(names.items()), unit="image", disable=not progress):
        image = decode_image(read(name), name)
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
