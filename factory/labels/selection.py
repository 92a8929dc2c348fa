"""Which images to label: a person's minutes go where they teach the interpreter most."""

import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import torch

from labelfactory.errors import InputError
from labelfactory.factory.families import open_generator
from labelfactory.factory.generator import ImageGenerator
from labelfactory.factory.labels.classes import classes_of, usual_truncation
from labelfactory.factory.labels.feature_maps import load_labels
from labelfactory.factory.labels.order import SampleOrder
from labelfactory.factory.latents import drawn_classes, latents
from labelfactory.interpreters import StyleInterpreter
from labelfactory.interpreters.array_types import Float, Int
from labelfactory.interpreters.classes import LabelClass
from labelfactory.interpreters.crop import Crop
from labelfactory.interpreters.labelset import LabelSet, Sample
from labelfactory.interpreters.lookup import pooled
from labelfactory.interpreters.sheet import contact_sheet
from labelfactory.limits import IGNORE_INDEX, TRUNCATION
from labelfactory.progress import Progress

Strategy = Literal["random", "kmeans", "uncertain"]
STRATEGIES: tuple[Strategy, ...] = ("random", "kmeans", "uncertain")
BATCH = 16
SHEET = "contact_sheet.png"
COMPONENTS = 32  # principal components that candidates are compared in
CONTESTED = 0.25  # share of the candidates, the most uncertain, that active learning chooses from


def candidate_seeds(count: int, seed: int) -> list[int]:
    """``count`` different sample seeds, 0 to 2^64 - 1, from a stream of their own: not a dataset's samples."""
    rng = np.random.Generator(np.random.Philox(key=np.array([seed, 1], dtype=np.uint64)))
    found: dict[int, None] = {}
    while len(found) < count:
        found.update(dict.fromkeys(rng.integers(0, 2**64, count, dtype=np.uint64).tolist()))
    return list(found)[:count]


def describe_candidates(
    generator: ImageGenerator,
    seeds: Sequence[int],
    truncation: float,
    interpreter: StyleInterpreter | None = None,
    progress: bool = True,
) -> tuple[Float[np.ndarray, "candidates channels"], Float[np.ndarray, "candidates"]]:
    """Each candidate's feature maps averaged over the image, and its uncertainty score (0 without interpreter).

    The average of a generator's feature maps says what is in the image (or in the generator's crop of it), and costs
    nothing beside making it.
    """
    means, scores, step = [], [], generator.batch_size(BATCH)
    for start in Progress(
        range(0, len(seeds), step), desc="candidates", unit="batch", disable=not progress, leave=False
    ):
        batch = seeds[start : start + step]
        classes = drawn_classes(batch, generator.conditions)
        _, maps = generator.generate(latents(batch, generator.latent_shape), truncation, classes)
        means.append(torch.cat([pooled(f, generator.size, generator.crop) for f in maps], 1).cpu().numpy())
        if interpreter is not None:
            scores.append(interpreter.predict(maps, crop=generator.crop).score.cpu().numpy())
    return np.concatenate(means), np.concatenate(scores) if scores else np.zeros(len(seeds), np.float32)


def choose_diverse(
    features: Float[np.ndarray, "candidates channels"], count: int, seed: int = 0
) -> Int[np.ndarray, "count"]:
    """k-means with ``count`` clusters on standardised principal components; of each cluster the most typical."""
    labels, distance = _cluster(features, count, seed)
    return np.array([_best(np.flatnonzero(labels == k), -distance) for k in range(count)])


def choose_contested(
    features: Float[np.ndarray, "candidates channels"],
    scores: Float[np.ndarray, "candidates"],
    count: int,
    seed: int = 0,
) -> Int[np.ndarray, "count"]:
    """The most uncertain quarter of the candidates, clustered into ``count`` groups: the most uncertain of each."""
    pool = np.argsort(-scores, kind="stable")[: max(count, round(CONTESTED * len(scores)))]
    labels, _ = _cluster(features[pool], count, seed)
    return pool[[_best(np.flatnonzero(labels == k), scores[pool]) for k in range(count)]]


def _best(members: np.ndarray, merit: np.ndarray) -> int:
    return int(members[np.argmax(merit[members])])


def _cluster(features: np.ndarray, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(cluster of each row, its squared distance to the cluster's centre); no cluster is empty."""
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    spread = features.std(0)
    x = (features - features.mean(0)) / np.where(spread > 1e-6, spread, 1)
    u, s, _ = np.linalg.svd(x, full_matrices=False)
    x = (u * s)[:, :COMPONENTS]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer different rows than clusters: settled below
        model = KMeans(count, n_init=4, random_state=seed).fit(x)
    labels = model.labels_
    distance = ((x - model.cluster_centers_[labels]) ** 2).sum(1)
    for empty in np.setdiff1d(np.arange(count), labels):  # where rows are equal, k-means leaves clusters empty
        crowded = np.flatnonzero(np.bincount(labels, minlength=count)[labels] > 1)
        labels[crowded[np.argmax(distance[crowded])]] = empty
    return labels, distance


def sample_label_set(
    generator: ImageGenerator,
    uri: str,
    count: int,
    classes: Sequence[LabelClass],
    strategy: Strategy = "kmeans",
    *,
    candidates: int = 512,
    seed: int = 0,
    truncation: float = TRUNCATION,
    interpreter: StyleInterpreter | None = None,
    extends: LabelSet | None = None,
    crop: Crop | None = None,
    progress: bool = True,
) -> LabelSet:
    """A label set of ``count`` new images, not labelled yet, after those of ``extends``.

    Arguments:
        uri: what the label set notes as its generator's address.
        strategy: ``random``; ``kmeans`` (a diverse set of many candidates); ``uncertain`` (where ``interpreter``
            contradicts itself, spread over clusters: active learning).
        candidates: how many images are looked at.
        crop: the part of the generator's pictures that is labelled; None: that of ``extends``, or all of it.

    Raises:
        InputError: impossible numbers, no interpreter for ``uncertain``, or one of another generator.
    """
    if strategy not in STRATEGIES:
        raise InputError(f"strategy {strategy!r}: expected one of {', '.join(STRATEGIES)}")
    if count < 1:
        raise InputError(f"count is {count}: expected 1 or more images")
    if not 0 <= seed < 2**63:
        raise InputError(f"seed {seed}: expected 0 to 2**63 - 1")
    if strategy != "random" and candidates < count:
        raise InputError(f"{candidates} candidates for {count} images: expected as many or more")
    if strategy == "uncertain":
        if interpreter is None:
            raise InputError("strategy uncertain needs an interpreter; train one on the first labels, or choose kmeans")
        if interpreter.generator_sha256 != generator.sha256:
            raise InputError("the interpreter belongs to another generator; give the generator that it was trained for")
    if extends is not None:
        extends.check_generator(generator.sha256)
        classes, truncation = extends.classes, extends.truncation
        if crop not in (None, extends.crop):
            raise InputError(f"crop {crop}: {extends.where} is of {extends.crop or 'whole pictures'}; leave it out")
        crop = extends.crop
    generator = generator.cropped(crop)
    taken = {s.seed for s in extends} if extends is not None else set()
    wanted = count if strategy == "random" else candidates
    seeds = [s for s in candidate_seeds(wanted + len(taken), seed) if s not in taken][:wanted]
    if strategy != "random":
        scorer = interpreter if strategy == "uncertain" else None
        features, scores = describe_candidates(generator, seeds, truncation, scorer, progress)
        if strategy == "kmeans":
            chosen = choose_diverse(features, count, seed)
        else:
            chosen = choose_contested(features, scores, count, seed)
        seeds = [seeds[i] for i in chosen]
    samples = tuple(blank_samples(generator, seeds, truncation))
    if extends is not None:
        return replace(extends, samples=(*extends.samples, *samples), generator_uri=uri)
    return LabelSet(tuple(classes), samples, uri, generator.sha256, truncation, crop=crop)


def blank_samples(generator: ImageGenerator, seeds: Sequence[int], truncation: float) -> list[Sample]:
    """The images of seeds, not labelled yet."""
    out = []
    for seed in seeds:
        # one at a time, as training will see it: another batch size may round another way
        classes = drawn_classes([seed], generator.conditions)
        z, condition = latents([seed], generator.latent_shape), None if classes is None else int(classes[0])
        image = generator.generate(z, truncation, condition).images[0].cpu().numpy()
        blank = np.full(image.shape[:2], IGNORE_INDEX, np.uint8)
        out.append(Sample(f"seed-{seed:016x}", image, blank, seed, condition=condition))
    return out


def sample_images(order: SampleOrder, progress: bool = True) -> LabelSet:
    """Chooses the images that ``order`` asks for and writes them as a label set, with a contact sheet in its folder."""
    extends = None if order.labels is None else load_labels(order.labels)
    classes = extends.classes if extends is not None else classes_of(order.classes, order.generator)
    network = open_generator(order.generator, order.device).conditioned(order.conditions)
    result = sample_label_set(
        network,
        order.generator,
        order.count,
        classes,
        order.strategy,  # type: ignore[arg-type]
        candidates=order.candidates,
        seed=order.seed,
        truncation=usual_truncation(network) if order.truncation is None else order.truncation,
        interpreter=None if order.interpreter is None else StyleInterpreter.load(order.interpreter).to(network.device),
        extends=extends,
        crop=None if order.crop is None else Crop.parse(order.crop, *network.size),
        progress=progress,
    )
    result.save(order.out)
    sheet = contact_sheet(result.samples, result.classes, masks=any(s.labelled for s in result))
    sheet.save(order.out / SHEET)
    return result
