"""Every pair judged by a network that has not learned from it; the least likely labels first."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from labelfactory.errors import InputError
from labelfactory.factory.audit.order import LIST, AuditOrder
from labelfactory.factory.audit.page import page
from labelfactory.factory.audit.surprise import suspicion, wanted_and_given
from labelfactory.factory.audit.suspect import Suspect
from labelfactory.factory.device import resolve_device
from labelfactory.factory.pairs.augmentation import DIHEDRAL
from labelfactory.factory.pairs.opening import open_source
from labelfactory.factory.pairs.pairs import ChosenPairs, Pair, Pairs
from labelfactory.factory.pairs.store_pairs import StorePairs
from labelfactory.factory.segmenters.catalogue import build_segmenter
from labelfactory.factory.segmenters.inference import predict_pairs
from labelfactory.factory.segmenters.segmenter import Segmenter
from labelfactory.factory.segmenters.settings import TrainingConfig
from labelfactory.factory.segmenters.training import train_segmenter, uses_bf16
from labelfactory.interpreters.array_types import Float, Int
from labelfactory.interpreters.classes import LabelClass
from labelfactory.ownership import claim
from labelfactory.progress import Progress
from labelfactory.whole_files import whole_file

FOLDS = 2  # a judge each: it learns from the other half
FILES = ("audit.html", LIST, "scores.npy")
BLOCK = 64  # pairs in memory at once


def audit(order: AuditOrder, progress: bool = True) -> list[Suspect]:
    """Writes page, list and scores into ``order.out``; the suspects, the worst first.

    Memory grows by less than 30 bytes a pair, and by the suspects themselves. An interrupted
    audit goes on from its judges' checkpoints, which lie in the folder until the end.
    """
    claim(order.out, FILES)
    pairs, classes = open_source(order.pairs, order.keep)
    if len(pairs) < 2 * FOLDS:
        raise InputError(f"{order.pairs}: {len(pairs)} pairs; an audit needs at least {2 * FOLDS}")
    scores = np.full(len(pairs), -np.inf, np.float32)
    windows = np.zeros((len(pairs), 3), np.int32)
    kinds = np.zeros((len(pairs), 2), np.uint8)
    for number, pair, p in judged(order, pairs, len(classes), progress):
        mask = torch.from_numpy(pair.mask.astype(np.int64))
        found = suspicion(p[None], mask[None])
        scores[number], windows[number] = float(found.score[0]), found.window[0].numpy()
        kinds[number] = wanted_and_given(p, mask, found.window[0])
    worst = np.argsort(-scores, kind="stable")[: max(1, round(order.share * len(pairs)))]
    suspects = [_suspect(pairs, int(n), float(scores[n]), windows[n], kinds[n], classes) for n in worst]
    _write(order, pairs, classes, scores, worst, suspects)
    for fold in range(FOLDS):
        _checkpoint(order, fold).unlink(missing_ok=True)
    return suspects


def judged(
    order: AuditOrder, pairs: Pairs, classes: int, progress: bool = True
) -> Iterator[tuple[int, Pair, Float[torch.Tensor, "classes height width"]]]:
    """Every pair's number, the pair, and the probabilities of a judge that has not learned from it."""
    device = resolve_device(order.device)
    bf16 = uses_bf16(order.precision, device)
    for fold in range(FOLDS):
        judge = _judge(order, pairs, fold, classes, device, progress).to(device)
        theirs = ChosenPairs(pairs, range(fold, len(pairs), FOLDS))
        found = predict_pairs(judge, theirs, BLOCK, bf16)
        for at, (pair, p) in enumerate(Progress(found, total=len(theirs), unit="pair", disable=not progress)):
            yield int(theirs.numbers[at]), pair, torch.from_numpy(np.asarray(p))


def _checkpoint(order: AuditOrder, fold: int) -> Path:
    return order.out / f".judge{fold}.checkpoint"


def _judge(order: AuditOrder, pairs: Pairs, fold: int, classes: int, device: torch.device, progress: bool) -> Segmenter:
    """A segmenter that has learned from the pairs of all other folds."""
    order.out.mkdir(parents=True, exist_ok=True)
    learned = ChosenPairs(pairs, np.flatnonzero(np.arange(len(pairs)) % FOLDS != fold))
    config = TrainingConfig(
        steps=order.steps,
        batch_size=min(order.batch_size, len(learned)),
        augmentation=DIHEDRAL,
        precision=order.precision,
        seed=order.seed + fold,
    )
    torch.manual_seed(config.seed)
    network = build_segmenter(order.architecture, pairs[0].image.shape[2], classes)
    return train_segmenter(network, learned, config, None, _checkpoint(order, fold), device, progress)[0]


def _suspect(
    pairs: Pairs,
    number: int,
    score: float,
    window: Int[np.ndarray, "3"],
    kind: Any,
    classes: tuple[LabelClass, ...],
) -> Suspect:
    index = int(pairs.dataset.samples[number]) if isinstance(pairs, StorePairs) else number
    top, left, side = (int(v) for v in window)
    wanted, given = (classes[int(c)].name for c in kind)
    return Suspect(index, pairs[number].name, round(score, 3), (top, left, side), given, wanted)


def _write(
    order: AuditOrder,
    pairs: Pairs,
    classes: tuple[LabelClass, ...],
    scores: Float[np.ndarray, "pair"],
    worst: Int[np.ndarray, "n"],
    suspects: list[Suspect],
) -> None:
    listed = {
        "format": 1,
        "pairs": order.pairs,
        "of": len(pairs),
        "spec_hash": pairs.dataset.spec.hash if isinstance(pairs, StorePairs) else None,
        "suspects": [asdict(s) for s in suspects],
    }
    with whole_file(order.out / LIST) as file:
        file.write((json.dumps(listed, indent=1) + "\n").encode())
    with whole_file(order.out / "scores.npy") as file:
        np.save(file, scores)
    shown = (pairs[int(n)] for n in worst)
    with whole_file(order.out / "audit.html") as file:
        for piece in page(listed, suspects, shown, classes):
            file.write(piece.encode())
