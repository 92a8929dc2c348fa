"""From an order to a job of the production line: pairs and style pictures packed, the model opened and checked."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from labelfactory.errors import InputError
from labelfactory.factory.device import resolve_device
from labelfactory.factory.pairs.opening import check_same_classes, open_source
from labelfactory.factory.pairs.packed import keep
from labelfactory.factory.pairs.resized import parse_size
from labelfactory.factory.production.job import RESTYLED, Job
from labelfactory.factory.restyle.archive import FILE, Recipe, RestyleArchive, make_archive
from labelfactory.factory.restyle.encoder import load_encoder
from labelfactory.factory.restyle.methods import open_restyler
from labelfactory.factory.restyle.order import RestyleOrder
from labelfactory.factory.restyle.styles import StyleFiles, nearest_orders, style_pictures
from labelfactory.factory.training.precision import uses_bf16
from labelfactory.factory.translation.restorer import load_restorer
from labelfactory.interpreters.classes import LabelClass
from labelfactory.storage import ArraySpec, ClassInfo, DatasetSpec
from labelfactory.storage.arrays import ValueInfo

STATES = ("given", "restyled", "repaired")


def prepare_restyling(
    order: RestyleOrder, tell: Callable[[str], Any] = lambda line: None, progress: bool = True
) -> Job:
    """Reads and checks what an order names; creates no store yet. ``tell`` hears what a person should know.

    InputError for pairs, style pictures or a model that do not belong together, or more pairs than styles allow.
    """
    device = resolve_device(order.device)
    pairs, classes = open_source(order.pairs, extra=("instances", "keypoints"))
    size = None if order.size is None else parse_size(order.size)
    if len(pairs) == 0:
        raise InputError(f"{order.pairs}: there are no pairs to restyle")
    side = max(size or pairs[0].mask.shape)
    styles = None if order.style is None else StyleFiles(order.style, side, progress)
    bf16 = uses_bf16(order.precision, device)
    recipe = Recipe(
        order.method, order.strength, order.choice, order.seed, order.iterations, order.repair, order.max_drift, bf16
    )
    archive = make_archive(order.pairs, pairs, classes, styles, recipe, size, progress)
    for line in [] if styles is None else styles.remarks(archive.channels == 3):
        tell(line)
    most = len(archive) * archive.styles
    count = len(archive) if order.count is None else order.count
    if count > most:
        raise InputError(
            f"count {count}: {len(archive)} pairs in {archive.styles} styles give {most} different pictures; "
            "ask for fewer, or give more style pictures"
        )
    model = _model(order)
    content = model.read_bytes() if model.is_file() else b""
    open_restyler(order.method, model, "", pictures_of(archive), vars(recipe), device)  # whether it fits, before work
    if order.choice == "nearest" and styles is not None:
        archive = archive.with_orders(_nearest(order, archive, device, progress))
    restorer = "" if order.restorer is None else _restorer_hash(order.restorer, classes, archive.channels, device)
    if restorer and archive.instances:
        tell(f"{order.restorer}: is not used: it would not move the objects' numbers")
    packed, sha256 = archive.pack()
    kept = keep(FILE, packed, sha256)
    spec = DatasetSpec(
        count=count,
        height=archive.size[0],
        width=archive.size[1],
        channels=archive.channels,
        latent_dim=1,
        classes=tuple(ClassInfo(c.name, c.color, c.thing) for c in classes),
        generator=str(model),
        generator_sha256=hashlib.sha256(content).hexdigest(),
        interpreter_sha256=sha256,
        seed=order.seed,
        truncation=1.0,
        shard_size=order.shard_size,
        keep_quantile=1.0,
        licence="unknown",
        label_arrays=_arrays(archive, restorer),
    )
    heads = {RESTYLED: str(order.restorer)} if restorer else {}
    return Job(order.out, spec, str(kept), order.device, heads=heads)


def _model(order: RestyleOrder) -> Path:
    found = order.perceptual_weights if order.method == "optimise" else order.model
    assert found is not None  # as the order sees to
    return found


def pictures_of(archive: RestyleArchive) -> Any:
    """The archive's style pictures as networks see them."""
    pictures = [archive.style(number) for number in range(len(archive.style_names))]
    return style_pictures(pictures, archive.style_hashes, archive.style_names)


def _nearest(order: RestyleOrder, archive: RestyleArchive, device: torch.device, progress: bool) -> Any:
    """The table of the nearest styles, by VGG16 of a file or of the model itself."""
    if order.perceptual_weights is not None:
        encoder = load_encoder(order.perceptual_weights).to(device)
    else:
        from labelfactory.factory.restyle.adain import AdaINRestyler
        from labelfactory.factory.restyle.encoder import Encoder

        opened = open_restyler(order.method, _model(order), "", pictures_of(archive), {}, device)
        assert isinstance(opened, AdaINRestyler)  # the order asks all others for weights
        assert isinstance(opened.encoder, Encoder)
        encoder = opened.encoder
    pictures = (archive.pair(i).image for i in range(len(archive)))
    return nearest_orders(encoder, pictures, pictures_of(archive), len(archive), progress)


def _restorer_hash(path: Path, classes: tuple[LabelClass, ...], channels: int, device: torch.device) -> str:
    restorer = load_restorer(path, device)
    check_same_classes("the pairs", classes, str(path), restorer.classes)
    if restorer.network.picture_channels != channels:
        told = f"sees pictures of {restorer.network.picture_channels} channels, the pairs have {channels}"
        raise InputError(f"{path}: {told}; give one that was trained with --image on such pairs")
    return restorer.sha256


def _arrays(archive: RestyleArchive, restorer: str) -> tuple[ArraySpec, ...]:
    """Where each sample is from, how far its labels drifted, and the labels that the pairs have beside masks.

    The channel of ``strength`` names the method, those of ``drift`` the classes.
    """
    about: dict[str, Any] = {"head": RESTYLED, "model": restorer}
    strength = (ValueInfo(archive.recipe.method, "", 0.0, 1.0),)
    drift = tuple(ValueInfo(c.name, "px") for c in archive.classes)
    drifts = ("sample", "class", "state"), (len(drift), len(STATES))
    found = [
        ArraySpec("source_pair", "uint64", ("sample",), (), 0, False, "label", **about),
        ArraySpec("style", "uint16", ("sample",), (), 0, False, "label", **about),
        ArraySpec("strength", "float32", ("sample",), (), "NaN", False, "label", **about, channels=strength),
        ArraySpec("drift", "float32", *drifts, "NaN", False, "label", **about, channels=drift),
        ArraySpec("pair_drift", "float32", ("sample", "state"), (len(STATES),), "NaN", False, "label", **about),
        ArraySpec("repair", "uint8", ("sample",), (), 0, False, "label", **about),
    ]
    if archive.instances:
        found.append(ArraySpec("instance", "uint16", ("sample", "y", "x"), archive.size, 0, True, "objects", **about))
    if archive.points:
        dims, shape = ("sample", "keypoint", "coordinate"), (len(archive.points), 3)
        names = tuple(map(ValueInfo, archive.points))
        found.append(ArraySpec("keypoints", "float32", dims, shape, "NaN", False, "points", **about, channels=names))
    return tuple(found)
