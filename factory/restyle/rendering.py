"""The arrays of a range of restyled samples: the same bytes whenever and wherever they are made.

Sample i is of pair i modulo their number; the pairs' second round gets each another style, and so on.
"""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy import ndarray as Array

from labelfactory.array_types import UInt8
from labelfactory.factory.device import resolve_device
from labelfactory.factory.pairs.pairs import Pair
from labelfactory.factory.pixels import to_uint8
from labelfactory.factory.production.job import RESTYLED, Job
from labelfactory.factory.production.models import model_file
from labelfactory.factory.restyle.archive import RestyleArchive, open_archive
from labelfactory.factory.restyle.drift import EdgePoints, measure
from labelfactory.factory.restyle.methods import open_restyler
from labelfactory.factory.restyle.preparing import pictures_of
from labelfactory.factory.restyle.repair import BEYOND, repaired, within
from labelfactory.factory.restyle.restyler import Restyler
from labelfactory.factory.restyle.styles import as_tensor
from labelfactory.factory.translation.restorer import LoadedRestorer, load_restorer
from labelfactory.limits import UNFIT
from labelfactory.storage import sample_seeds

BATCH = 4  # fixed: equal batches give equal bytes
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # Rec. 601, of colours where pairs are grey


class Makers(NamedTuple):
    """What makes a job's samples; ``restorer`` is None where nobody asked for one."""

    archive: RestyleArchive
    restyler: Restyler
    restorer: LoadedRestorer | None
    device: torch.device


@lru_cache(maxsize=2)
def makers_of(job: Job) -> Makers:
    """Loaded once in a process."""
    spec, device = job.spec, resolve_device(job.device)
    path, _ = model_file(job, "interpreter", job.interpreter, spec.interpreter_sha256)
    archive = open_archive(path, spec.interpreter_sha256)
    recipe, model = archive.recipe, Path(spec.generator)
    restyler = open_restyler(recipe.method, model, spec.generator_sha256, pictures_of(archive), vars(recipe), device)
    restorer = None
    if spec.heads[RESTYLED]:
        file, _ = model_file(job, "regressor", job.heads.get(RESTYLED, ""), spec.heads[RESTYLED])
        restorer = load_restorer(file, device)
        restorer.network.to(device)
    return Makers(archive, restyler, restorer, device)


def render_restyled(
    job: Job, start: int, stop: int, on_progress: Callable[[int], Any] = lambda n: None
) -> dict[str, np.ndarray]:
    """Every array of samples ``start`` to ``stop``."""
    makers = makers_of(job)
    parts: dict[str, list[Array]] = {}
    for first in range(start, stop, BATCH):
        numbers = range(first, min(first + BATCH, stop))
        for name, values in _batch(makers, numbers).items():
            parts.setdefault(name, []).append(values)
        on_progress(len(numbers))
    found = {name: np.concatenate(values) for name, values in parts.items()}
    count = stop - start
    return found | {
        "seed": sample_seeds(job.spec.seed, start, stop),
        "latent": np.full((count, 1), np.nan, np.float32),
    }


@torch.no_grad()
def _batch(makers: Makers, numbers: range) -> dict[str, Array]:
    archive, recipe = makers.archive, makers.archive.recipe
    given = [archive.pair(number % len(archive)) for number in numbers]
    styles = [archive.style_number(number % len(archive), number // len(archive)) for number in numbers]
    short = BATCH - len(given)  # a short batch is filled up: arithmetic may round differently in another batch size
    if recipe.method == "optimise":
        short = 0  # goes picture by picture
    pictures = torch.stack([as_tensor(pair.image) for pair in [*given, *[given[0]] * short]]).to(makers.device)
    with torch.autocast(makers.device.type, torch.bfloat16, enabled=recipe.bf16):
        made = makers.restyler.restyle(pictures, [*styles, *[styles[0]] * short], recipe.strength)
    images = to_uint8(made.float()).permute(0, 2, 3, 1).cpu().numpy()
    images = images if archive.channels == 3 else _grey(images)
    samples = [_sample(makers, pair, image) for pair, image in zip(given, images[: len(given)], strict=True)]
    found = {name: np.stack([sample[name] for sample in samples]) for name in samples[0]}
    return found | {
        "source_pair": np.array([number % len(archive) for number in numbers], np.uint64),
        "style": np.array(styles, np.uint16),
        "strength": np.full(len(given), recipe.strength, np.float32),
    }


def _sample(makers: Makers, pair: Pair, image: UInt8[Array, "height width channels"]) -> dict[str, Array]:
    """One sample's picture, labels and what is known of their fit."""
    archive, recipe = makers.archive, makers.archive.recipe
    count = len(archive.classes)
    before = measure(pair.image, pair.mask)
    new = Pair(np.ascontiguousarray(image), pair.mask, instances=pair.instances, keypoints=pair.keypoints)
    after = measure(new.image, new.mask)
    done = repaired(new, before, recipe.repair, makers.restorer, recipe.max_drift, recipe.bf16)
    states: list[EdgePoints] = [before, after, done.points]
    found = {
        "image": new.image,
        "mask": done.pair.mask,
        # nobody has looked whether the picture still shows the mask: not known is said as such
        "uncertainty": np.full(pair.mask.shape, np.nan, np.float16),
        "uncertainty_score": np.float32(UNFIT if done.state == BEYOND else 0.0),
        "drift": np.stack([state.by_class(count) for state in states], 1).astype(np.float32),
        "pair_drift": np.array([state.median() for state in states], np.float32),
        "repair": np.uint8(done.state),
    }
    if archive.instances and done.pair.instances is not None:
        found["instance"] = done.pair.instances.astype(np.uint16)
    if archive.points and done.pair.keypoints is not None:
        there = within(done.pair.keypoints, archive.size)
        points = np.where(there[:, None] > 0, done.pair.keypoints, np.nan)
        points[:, 2] = np.where(there > 0, 1.0, np.nan)
        found["keypoints"] = points.astype(np.float32)
    return {name: np.asarray(value) for name, value in found.items()}


def _grey(images: UInt8[Array, "batch height width 3"]) -> UInt8[Array, "batch height width 1"]:
    return np.rint(images @ LUMA).clip(0, 255).astype(np.uint8)[..., None]
