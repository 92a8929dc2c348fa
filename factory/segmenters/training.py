"""Training a network of whatever task: any pairs in, averaged weights and a history out; what stops resumes exactly."""

import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from labelfactory.errors import InputError, WorkError
from labelfactory.factory.pairs.augment import Batch, augment
from labelfactory.factory.pairs.pairs import Pair, Pairs, collate, random_crop
from labelfactory.factory.segmenters.inference import validated
from labelfactory.factory.segmenters.mean_teacher import Unlabelled
from labelfactory.factory.segmenters.network import Network
from labelfactory.factory.segmenters.segmenter import Segmenter
from labelfactory.factory.segmenters.settings import TrainingConfig
from labelfactory.factory.training.precision import uses_bf16
from labelfactory.factory.training.steps import EpochOrder, read_ahead, update_average
from labelfactory.progress import Progress
from labelfactory.whole_files import whole_file

Trained = TypeVar("Trained", bound=Network)


@dataclass
class TrainingReport:
    """What happened: one row per validation (step, loss, learning rate, seconds, the task's score where there is one).

    ``best_score`` is that of the weights that are kept, ``figure`` its name ("" without validation).
    """

    history: list[dict[str, float | int]] = field(default_factory=list)
    best_step: int = 0
    best_score: float = math.nan
    figure: str = ""
    stopped_early: bool = False
    seconds: float = 0.0


def train_segmenter(
    model: Trained,
    pairs: Pairs,
    config: TrainingConfig,
    validation: Pairs | None = None,
    checkpoint: Path | None = None,
    device: str | torch.device = "cpu",
    progress: bool = True,
    on_validation: Callable[[int, Trained], dict[str, float]] | None = None,
    unlabelled: Unlabelled | None = None,
) -> tuple[Trained, TrainingReport]:
    """Train ``model`` and return its averaged weights (the best validated ones where there is ``validation``).

    The batches of a step depend on ``config.seed`` and the step alone. With ``checkpoint`` the state is saved at
    every validation; a call with the same arguments goes on from there. ``on_validation`` sees step and averaged
    weights then, and adds columns to the history. ``unlabelled`` images train along with the averaged weights as their
    mean teacher. ``WorkError`` where the loss is not finite.
    """
    if len(pairs) == 0:
        raise InputError("there are no pairs to train on")
    if isinstance(model, Segmenter) and len(config.class_weights or [None] * model.num_classes) != model.num_classes:
        raise InputError(
            f"{len(config.class_weights or ())} class weights for {model.num_classes} classes: give one for each"
        )
    if unlabelled is not None and not isinstance(model, Segmenter):
        raise InputError("unlabelled pictures teach segmenters alone")
    device = torch.device(device)
    model.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average: Trained = deepcopy(model).eval()
    best: dict[str, Tensor] = {}
    optimiser = torch.optim.AdamW(parameter_groups(model, config.weight_decay), lr=config.learning_rate)
    report, start = TrainingReport(), 0
    settings = repr(config) if unlabelled is None else f"{config!r}, {unlabelled.config!r}"
    if config.augmentation.sensor is not None:  # which the text of the settings leaves out, as runs of before it do
        settings += f", {config.augmentation.sensor!r}"
    if checkpoint is not None and checkpoint.exists():
        state = _load(checkpoint, settings)
        model.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        optimiser.load_state_dict(state["optimiser"])
        best, start, report = state["best"], state["step"], TrainingReport(**state["report"])
    bf16 = uses_bf16(config.precision, device)
    order = EpochOrder(len(pairs), config.batch_size, config.seed)
    began, seconds_before, running = time.monotonic(), report.seconds, []
    bar = Progress(total=config.steps, initial=start, desc="train", unit="step", disable=not progress)
    stop = start if report.stopped_early else config.steps  # a finished run that is asked for again

    def read(step: int) -> tuple[list[Pair], list[Pair]]:
        return pairs.fetch(order.indices(step)), [] if unlabelled is None else unlabelled.fetch(config.seed, step)

    for step, (some, others) in read_ahead(read, start, stop):
        batch = load_batch(model, some, config, step, device)
        views = None
        if unlabelled is not None:
            views = unlabelled.views(model, others, config.seed, step, config.crop, tuple(batch.images.shape[-2:]))
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(step, config)
        model.train()
        images = batch.images if views is None else torch.cat([batch.images, views.student])
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            answer = model.answer(images, batch)
        if views is not None:
            answer, free = answer.float().tensor_split([len(some)])
        loss = model.loss(answer, batch, config)
        if unlabelled is not None and views is not None:
            with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                loss = loss + unlabelled.loss(average, views, free, step / config.steps)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        update_average(average, model, min(config.average, (step + 1) / (step + 10)))
        running.append(loss.detach())
        bar.update()
        if (step + 1) % config.validate_every == 0 or step + 1 == config.steps:
            mean_loss = float(torch.stack(running).mean())
            running = []
            if not math.isfinite(mean_loss):
                raise WorkError(f"the loss is {mean_loss} at step {step + 1}: lower the learning rate or use float32")
            report.seconds = seconds_before + time.monotonic() - began
            row: dict[str, float | int] = {
                "step": step + 1,
                "loss": mean_loss,
                "learning_rate": learning_rate(step, config),
            }
            if validation is not None:
                figure, score = validated(average, validation, bf16)
                row[figure] = score
                bar.set_postfix({"loss": f"{mean_loss:.4f}", figure: f"{score:.4f}"})
                if not score <= report.best_score:
                    report.best_step, report.best_score, report.figure = step + 1, score, figure
                    best = {k: v.detach().clone() for k, v in average.state_dict().items()}
                since_best = sum(r["step"] > report.best_step for r in report.history) + (step + 1 > report.best_step)
                report.stopped_early = config.patience is not None and since_best >= config.patience
            if on_validation is not None:
                row |= on_validation(step + 1, average)
            report.history.append({**row, "seconds": report.seconds})
            if checkpoint is not None:
                state = {"model": model.state_dict(), "average": average.state_dict(), "best": best, "step": step + 1}
                state |= {"optimiser": optimiser.state_dict(), "report": dataclasses.asdict(report)}
                _save(checkpoint, state | {"config": settings})
            if report.stopped_early:
                break
    bar.close()
    if best:
        average.load_state_dict(best)
    return average, report


def load_batch(model: Network, pairs: Sequence[Pair], config: TrainingConfig, step: int, device: torch.device) -> Batch:
    """The pairs of one step, cropped and varied; ``config.seed`` and ``step`` decide how."""
    rng = np.random.Generator(np.random.Philox(key=[config.seed, step]))
    if config.crop is not None:
        pairs = [random_crop(pair, config.crop, rng) for pair in pairs]
    images, masks, weights = (torch.from_numpy(array) for array in collate(pairs))
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    objects, points = _stacked([p.instances for p in pairs]), _stacked([p.keypoints for p in pairs])
    batch = Batch(
        model.prepare(images.to(device)),
        masks.to(device, torch.int64),
        weights.to(device),
        None if objects is None else objects.to(device, torch.int64),
        None if points is None else points.to(device),
        torch.tensor([p.generated for p in pairs], device=device),
    )
    return augment(batch, config.augmentation, generator)


def _stacked(arrays: Sequence[np.ndarray | None]) -> Tensor | None:
    """What all pairs of a step have, as one tensor."""
    some = [a for a in arrays if a is not None]
    return torch.from_numpy(np.stack(some)) if some and len(some) == len(arrays) else None


def learning_rate(step: int, config: TrainingConfig) -> float:
    """Linear warm-up, then half a cosine to zero (Loshchilov and Hutter, arXiv 1608.03983)."""
    warmup = max(1, round(config.warmup * config.steps))
    if step < warmup:
        return config.learning_rate * (step + 1) / warmup
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, config.steps - warmup)))


def parameter_groups(model: torch.nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Weight decay acts on kernels, not on biases and normalisation."""
    kernels = [p for p in model.parameters() if p.requires_grad and p.ndim > 1]
    others = [p for p in model.parameters() if p.requires_grad and p.ndim <= 1]
    return [{"params": kernels, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]


def _save(path: Path, state: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as file:
        torch.save(state, file)


def _load(path: Path, settings: str) -> dict[str, Any]:
    try:
        state = torch.load(path, weights_only=True)
    except Exception as error:
        raise InputError(f"{path} is no training checkpoint of ours ({error}): delete it to start anew") from error
    if state.get("config") != settings:
        raise InputError(
            f"{path} belongs to a run with other settings: delete it, or use the settings it was made with"
        )
    return state
