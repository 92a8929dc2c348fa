"""Pairs whose pictures are synthesised from masks: an order becomes a job, a job the arrays of a range of samples.

Sample i is of mask i modulo their number; the masks' second round is turned or mirrored, and so on. The picture depends
on the model and the mask alone: ``latent`` says nothing (NaN). What an interpreter is elsewhere is here the archive of
the masks, which lies in the store.
"""

import hashlib
import math
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy import ndarray as Array

from labelfactory.errors import InputError
from labelfactory.factory.device import resolve_device
from labelfactory.factory.families import open_synthesis
from labelfactory.factory.pairs.packed import keep
from labelfactory.factory.pixels import to_uint8
from labelfactory.factory.production.job import SYNTHESIS, Job
from labelfactory.factory.production.models import model_file
from labelfactory.factory.production.store_order import SynthesiseOrder
from labelfactory.factory.segmenters.catalogue import aim_of, load_segmenter
from labelfactory.factory.segmenters.segmenter import Segmenter
from labelfactory.factory.symmetry import RECTANGLE, dihedral
from labelfactory.factory.translation.mask_archive import FILE, MaskArchive, check_classes, open_archive, read_masks
from labelfactory.factory.translation.model import Translation
from labelfactory.interpreters.classes import LabelClass
from labelfactory.interpreters.uncertainty import image_score
from labelfactory.limits import IGNORE_INDEX
from labelfactory.storage import ArraySpec, ClassInfo, DatasetSpec, sample_seeds
from labelfactory.storage.arrays import ValueInfo

BATCH = 8  # fixed: equal batches give equal bytes
MOST = 16.0  # nats: a pixel's doubt stays finite however sure the judge is of another class


class Makers(NamedTuple):
    """What makes a job's samples; ``judge`` is None where nobody asked for one."""

    model: Translation
    masks: MaskArchive
    judge: Segmenter | None


def prepare_synthesis(order: SynthesiseOrder, progress: bool = True) -> Job:
    """Reads and checks what an order names; creates no store yet.

    InputError for a model or masks that do not belong together, or for more samples than masks and their views give.
    """
    device = resolve_device(order.device)
    model = open_synthesis(order.model, device)
    about = model.about
    archive = read_masks(order.masks, about.size, about.classes, progress)
    if about.edges and not archive.instances:
        raise InputError(f"{order.model}: was trained with edges of objects; {order.masks} has no instances")
    views = views_of(order.views, about.size)
    if order.count > len(archive) * len(views):
        raise InputError(
            f"count {order.count}: {len(archive)} masks in {len(views)} views give {len(archive) * len(views)} "
            "different pictures; ask for fewer, give more masks, or other views"
        )
    judge = "" if order.judge is None else _judge_hash(order.judge, about.classes)
    content, sha256 = archive.pack()
    kept = keep(FILE, content, sha256)
    height, width = about.size
    spec = DatasetSpec(
        count=order.count,
        height=height,
        width=width,
        channels=about.channels,
        latent_dim=1,
        classes=tuple(ClassInfo(c.name, c.color, c.thing) for c in about.classes),
        generator=str(order.model),
        generator_sha256=model.sha256,
        interpreter_sha256=sha256,
        seed=order.seed,
        truncation=1.0,
        shard_size=order.shard_size,
        keep_quantile=0.9 if judge else 1.0,
        licence=str(model.header.get("licence", "unknown")),
        label_arrays=_arrays(height, width, archive.instances, judge, order.views),
    )
    heads = {SYNTHESIS: str(order.judge)} if judge else {}
    return Job(order.out, spec, str(kept), order.device, heads=heads)


def views_of(name: str, size: tuple[int, int]) -> tuple[int, ...]:
    """The symmetries (``symmetry.dihedral``) in which masks are used, the plain one first."""
    if name == "dihedral":
        return tuple(range(8)) if size[0] == size[1] else RECTANGLE
    return (0, 7) if name == "mirror" else (0,)


def _arrays(height: int, width: int, instances: bool, judge: str, views: str) -> tuple[ArraySpec, ...]:
    """Which mask a sample is of, in which view (a number of ``symmetry.dihedral``; the unit names the set of views),
    and its objects."""
    about: dict[str, Any] = {"head": SYNTHESIS, "model": judge}
    view = (ValueInfo("symmetry", views, 0.0, 7.0),)
    found = [
        ArraySpec("source_mask", "uint64", ("sample",), (), 0, False, "label", **about),
        ArraySpec("view", "uint8", ("sample",), (), 0, False, "label", **about, channels=view),
    ]
    if instances:
        shape = (height, width)
        found.append(ArraySpec("instance", "uint16", ("sample", "y", "x"), shape, 0, True, "objects", **about))
    return tuple(found)


def _judge_hash(path: Path, classes: tuple[LabelClass, ...]) -> str:
    network, recipe = load_segmenter(path)
    check_classes(str(path), aim_of(recipe, str(path)).classes, classes)
    if not isinstance(network, Segmenter):
        raise InputError(f"{path}: is a network for {network.task}; a judge gives every pixel a class")
    if network.margin:
        raise InputError(f"{path}: sees only the inner part of pictures; a judge has to see all of them")
    return hashlib.sha256(path.read_bytes()).hexdigest()


@lru_cache(maxsize=2)
def _makers(job: Job) -> Makers:
    spec = job.spec
    model = open_synthesis(spec.generator, resolve_device(job.device), spec.generator_sha256)
    path, _ = model_file(job, "interpreter", job.interpreter, spec.interpreter_sha256)
    judge = None
    if spec.heads[SYNTHESIS]:
        judge_path, _ = model_file(job, "regressor", job.heads.get(SYNTHESIS, ""), spec.heads[SYNTHESIS])
        network = load_segmenter(judge_path)[0].to(model.device)
        assert isinstance(network, Segmenter)  # as ``prepare_synthesis`` saw to
        judge = network
    return Makers(model, open_archive(path, spec.interpreter_sha256), judge)


def render_synthesised(
    job: Job, start: int, stop: int, on_progress: Callable[[int], Any] = lambda n: None
) -> dict[str, np.ndarray]:
    """Every array of samples ``start`` to ``stop``; the same bytes whenever and wherever they are made."""
    spec, makers = job.spec, _makers(job)
    name = next(array.channels[0].unit for array in spec.label_arrays if array.name == "view")
    views = views_of(name, makers.model.about.size)
    numbers = np.arange(start, stop)
    source, turn = numbers % len(makers.masks), np.array(views, np.uint8)[numbers // len(makers.masks)]
    parts: dict[str, list[Array]] = {}
    for first in range(0, len(numbers), BATCH):
        some = slice(first, first + BATCH)
        for name, values in _batch(makers, source[some], turn[some]).items():
            parts.setdefault(name, []).append(values)
        on_progress(len(numbers[some]))
    found = {name: np.concatenate(values) for name, values in parts.items()}
    count = len(numbers)
    found |= {"seed": sample_seeds(spec.seed, start, stop), "latent": np.full((count, 1), np.nan, np.float32)}
    return found | {"source_mask": source.astype(np.uint64), "view": turn}


@torch.inference_mode()
def _batch(makers: Makers, source: Array, turn: Array) -> dict[str, Array]:
    """Pictures, masks and doubt of a batch."""
    model, archive = makers.model, makers.masks
    turned = [dihedral(archive.mask(int(i)), int(t)) for i, t in zip(source, turn, strict=True)]
    masks = np.stack([np.ascontiguousarray(mask) for mask in turned])
    objects = None
    if archive.instances:
        every = [dihedral(archive.objects(int(i)), int(t)) for i, t in zip(source, turn, strict=True)]
        objects = np.stack([np.ascontiguousarray(one) for one in every])
    short = BATCH - len(masks)  # a short batch is filled up: arithmetic may round differently in another batch size

    def whole(values: Array) -> torch.Tensor:
        return torch.from_numpy(np.concatenate([values, np.repeat(values[:1], short, axis=0)])).long()

    made = model.picture(model.condition(whole(masks), None if objects is None else whole(objects)))
    pictures = to_uint8(made).permute(0, 2, 3, 1).contiguous()
    doubt = None if makers.judge is None else _doubt(makers.judge, pictures, whole(masks))[: len(masks)]
    found = {"image": pictures.cpu().numpy()[: len(masks)], "mask": masks}
    if objects is not None:
        found["instance"] = objects.astype(np.uint16)
    if doubt is None:
        # Nobody has looked whether the picture shows the mask: not known is said as such, and all samples are kept.
        found["uncertainty"] = np.full(masks.shape, np.nan, np.float16)
        found["uncertainty_score"] = np.zeros(len(masks), np.float32)
        return found
    found["uncertainty"] = doubt.astype(np.float16)
    found["uncertainty_score"] = image_score(torch.from_numpy(doubt)).numpy()
    return found


def _doubt(judge: Segmenter, pictures: torch.Tensor, masks: torch.Tensor) -> Array:
    """-log of the probability that a segmenter gives the mask's class in the picture, in nats; 0 where none is said."""
    p = judge.probabilities(pictures)
    unknown = masks == IGNORE_INDEX
    chosen = p.gather(1, masks.masked_fill(unknown, 0)[:, None].to(p.device))[:, 0]
    return np.asarray((-chosen.clamp_min(math.exp(-MOST)).log()).masked_fill(unknown.to(p.device), 0).cpu().numpy())
