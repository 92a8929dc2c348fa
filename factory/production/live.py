"""The factory inside a training loop: pairs made while they are learned from, in batches as stores give them."""

import os
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from labelfactory.errors import InputError
from labelfactory.factory.device import this_device
from labelfactory.factory.generator import ImageGenerator
from labelfactory.factory.production.endless import REPLACED, EndlessPairs, Numbers
from labelfactory.factory.production.models import models_of
from labelfactory.factory.production.order import NOWHERE, Order
from labelfactory.factory.production.prepare import assemble, prepare
from labelfactory.interpreters import StyleInterpreter
from labelfactory.storage import DatasetSpec
from labelfactory.storage.elastic_stream import ElasticStream
from labelfactory.storage.steps import Step
from labelfactory.storage.tensors import Transform, to_tensors

GIVEN = "given"  # the place of a model that is an object


class LiveDataset(ElasticStream):
    """Pairs made as they are asked for; ``factory.live`` makes one. Batches are those of ``StreamDataset``.

    An epoch has ``count`` pairs, and every epoch has others: at ``position`` stands pair ``epoch * count + position``
    of ``EndlessPairs``, which says what ``keep`` means here. ``set_epoch(0)`` gives the same pairs again. The other
    arguments, ``epoch`` and ``position`` are those of ``ElasticStream``.
    """

    kind, name, ends_s = "labelfactory.live", "LiveDataset", 60.0  # a batch is computed, nothing can hang

    def __init__(
        self,
        pairs: EndlessPairs,
        count: int,
        fields: Sequence[str] = ("image", "mask"),
        batch_size: int | None = None,
        transform: Transform | None = None,
        rank: int | None = None,
        ranks: int | None = None,
        *,
        drop_last: bool = False,
        stall_s: float = 3600.0,
    ) -> None:
        known = [array.name for array in pairs.job.spec.shard_arrays()]
        for name in fields:
            if name not in known:
                raise InputError(f"live pairs have no array {name!r}: expected one of {', '.join(known)}")
        self.pairs, self.fields = pairs, tuple(fields)
        super().__init__(count, batch_size, transform, rank, ranks, drop_last, stall_s)

    @property
    def spec(self) -> DatasetSpec:
        """What the pairs are: classes, size, models by their hashes."""
        return self.pairs.job.spec

    def identity(self) -> dict[str, Any]:
        filtered = {"keep": self.pairs.quantile, "max_uncertainty": self.pairs.max_uncertainty}
        return {"spec": self.spec.hash, "count": self.steps.count, **filtered}

    def state_dict(self) -> dict[str, Any]:
        """As every stream's, and the running quantile as far as this process knows it; another finds it out again."""
        return super().state_dict() | {"limits": {str(n): limit for n, limit in self.pairs.limits.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.pairs.limits |= {int(n): float(limit) for n, limit in state["limits"].items()}

    def seek(self, epoch: int, position: int = 0) -> None:
        if (epoch + 2) * self.steps.count >= REPLACED:  # this epoch's, and the next one's that are made ahead
            raise InputError(f"epoch {epoch}: there are 2**40 live pairs, in epochs of {self.steps.count}")
        super().seek(epoch, position)

    def batches(self, steps: Iterator[Step]) -> Iterator[tuple[Step, dict[str, torch.Tensor]]]:
        """Each step's pairs. They are computed in full batches of the generator's, whatever the steps' sizes are."""
        asked, size = deque[Step](), self.pairs.size

        def full() -> Iterator[Numbers]:
            held = np.empty(0, np.uint64)
            for step in steps:
                asked.append(step)
                first = step.epoch * self.steps.count
                held = np.concatenate([held, np.arange(first + step.start, first + step.stop, dtype=np.uint64)])
                while len(held) >= size:
                    yield held[:size]
                    held = held[size:]
            if len(held):
                yield held

        ready: dict[str, np.ndarray] = {}
        for found in self.pairs.make(full()):
            ready = {n: np.concatenate([ready[n], found[n]]) if n in ready else found[n] for n in self.fields}
            while asked and len(next(iter(ready.values()))) >= (wanted := asked[0].stop - asked[0].start):
                yield asked.popleft(), to_tensors({name: values[:wanted] for name, values in ready.items()})
                ready = {name: values[wanted:] for name, values in ready.items()}

    def place_of(self, step: Step) -> str:
        return f"at live pair {step.epoch * self.steps.count + step.start} of seed {self.spec.seed}"


def live(
    generator: str | os.PathLike[str] | ImageGenerator,
    interpreter: str | os.PathLike[str] | StyleInterpreter | None = None,
    *,
    count: int = 65_536,
    seed: int = 0,
    fields: Sequence[str] = ("image", "mask"),
    keep: bool = True,
    max_uncertainty: float | None = None,
    batch_size: int | None = None,
    transform: Transform | None = None,
    rank: int | None = None,
    ranks: int | None = None,
    drop_last: bool = False,
    device: str = "auto",
    heads: Mapping[str, str | os.PathLike[str]] | None = None,
    progress: bool = True,
    **wishes: Any,
) -> LiveDataset:
    """An endless training set without a store: pairs are made by (seed, number) while they are learned from.

    **Arguments**: ``generator`` and ``interpreter`` are places as ``factory generate`` takes them, or open models.
    ``count`` is the number of pairs in an epoch; every epoch has new ones. ``seed`` is that of the data set. ``keep``
    leaves out the tenth that the interpreter is least sure of, by a running quantile (``EndlessPairs``), and
    ``max_uncertainty`` (nats) what is beyond a limit. ``device`` is where pairs are made: auto, cpu, cuda (this rank's
    current one), cuda:N. ``heads`` are files of other label kinds by name (``keypoints``, ``values``, ``centres``),
    whose arrays can then be among ``fields``. ``wishes`` are more fields of ``Order``: ``labels`` to train an
    interpreter from, ``truncation``, ``conditions``, ``crop``, ``precision``, ``instances``. Batches are as
    ``StreamDataset``'s, on the CPU; ``rank``, ``ranks`` and the rest are as there.
    **Raises** InputError for models that do not fit each other, or numbers that cannot be.
    """
    opened = isinstance(generator, ImageGenerator)
    if opened != isinstance(interpreter, StyleInterpreter):
        raise InputError("generator and interpreter: give open models for both of them, or places for both")
    file = GIVEN if isinstance(interpreter, StyleInterpreter) else None if interpreter is None else str(interpreter)
    named: dict[str, Any] = {name: os.fspath(file) for name, file in (heads or {}).items()}
    order = Order(
        generator=GIVEN if isinstance(generator, ImageGenerator) else os.fspath(generator),
        interpreter=file,
        out=NOWHERE,
        count=count,
        seed=seed,
        device=str(generator.device) if isinstance(generator, ImageGenerator) else this_device(device),
        **named,
        **wishes,
    )
    if isinstance(generator, ImageGenerator) and isinstance(interpreter, StyleInterpreter):
        generator, where = generator.conditioned(order.conditions), Path("interpreter")
        job, models = assemble(order, generator, interpreter, where, interpreter.sha256, order.truncation)
        job = replace(job, interpreter="")
    else:
        job = prepare(order, progress=progress)
        models = models_of(job)
    pairs = EndlessPairs(job, models, keep, max_uncertainty)
    return LiveDataset(pairs, count, fields, batch_size, transform, rank, ranks, drop_last=drop_last)
