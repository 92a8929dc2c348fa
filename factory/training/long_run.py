"""A long training run of any networks: progress, log, snapshots; stops cleanly and says where it goes on."""

import json
import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from labelfactory.errors import InputError, Interrupted, WorkError
from labelfactory.factory.training.curves import LOG
from labelfactory.factory.training.generator_order import SNAPSHOT
from labelfactory.factory.training.parallel import World
from labelfactory.ownership import claim
from labelfactory.progress import Progress

TICK = 16  # steps between two looks at the losses: each look waits for the device


@runtime_checkable
class InTraining(Protocol):
    """What a long run drives: networks that learn step by step."""

    world: World
    images_seen: int
    step: int

    @property
    def batch(self) -> int:
        """Images of a step, over all processes."""

    def train_step(self) -> dict[str, Tensor]:
        """One update of every network; its losses by name, each a single number."""

    def shown(self, stats: dict[str, float]) -> dict[str, float]:
        """What of the losses' means a person looks at, and whatever else tells how the run goes."""

    def networks(self) -> list[nn.Module]:
        """All networks, the moving average among them."""

    def state_dict(self) -> dict[str, Any]:
        """The whole state of the run, as tensors and plain values."""


def open_folder(folder: Path, names: tuple[str, ...]) -> None:
    """Makes a run's folder and lists ``names`` as the factory's files. InputError where somebody's lie there."""
    if not ((folder / SNAPSHOT).is_file() and (folder / LOG).is_file()):  # a run of an earlier version goes on
        claim(folder, (SNAPSHOT, LOG, *names))
    try:
        (folder / "samples").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be made a folder ({error.strerror})") from None


def long_run(
    trainer: InTraining,
    folder: Path,
    images: float,
    save: Callable[[], None],
    snapshot_minutes: float = 5.0,
    looked: Callable[[], None] = lambda: None,
    advice: str = "a lower learning rate",
    progress: bool = True,
) -> None:
    """Trains until ``images`` have been seen in all, then saves.

    ``save`` writes the snapshot and what goes with it; it is called every ``snapshot_minutes``, at the end and when the
    run is interrupted. ``looked`` is called after every look at the losses. In ``folder``: ``log.jsonl`` (a line every
    16 steps), TensorBoard's events where it is installed.

    Raises ``WorkError`` where a loss is no longer finite (``advice`` says what to go on with), ``Interrupted`` after
    SIGINT or SIGTERM: after the step at hand, with a snapshot; the message says what to go on from.
    """
    first, began = trainer.images_seen, time.monotonic()
    saved, sums, count = began, dict[str, list[Tensor]](), 0
    shown = progress and trainer.world.rank == 0
    with _stop_signal() as stop, _Log(folder, trainer) as log, _bar(trainer, images, shown) as bar:
        while trainer.images_seen < images:
            for name, value in trainer.train_step().items():
                sums.setdefault(name, []).append(value)
            count += 1
            bar.update(trainer.batch)
            at_once = bool(stop) and trainer.world.size == 1
            if count % TICK and trainer.images_seen < images and not at_once:
                continue
            means = torch.stack([torch.stack(values).mean() for values in sums.values()])
            stats = dict(zip(sums, (trainer.world.sum_(means) / trainer.world.size).tolist(), strict=True))
            sums.clear()
            _require_finite(trainer, stats, folder, advice)
            rate = (trainer.images_seen - first) / max(time.monotonic() - began, 1e-9)
            told = trainer.shown(stats)
            log.write(told | {"images_per_second": round(rate, 2)})
            bar.set_postfix_str(" ".join(f"{k} {v:.3f}" for k, v in told.items()), refresh=False)
            interrupted = trainer.world.any(bool(stop))
            if interrupted or time.monotonic() - saved > snapshot_minutes * 60:
                save()
                saved = time.monotonic()
            looked()
            if interrupted:
                raise Interrupted(
                    f"interrupted after {trainer.images_seen} images; the same command goes on from {folder / SNAPSHOT}"
                )
    save()


def _require_finite(trainer: InTraining, stats: dict[str, float], folder: Path, advice: str) -> None:
    wrong = [name for name, value in stats.items() if not math.isfinite(value)]
    if not wrong:
        return
    last = f"last good snapshot: {folder / SNAPSHOT}" if (folder / SNAPSHOT).exists() else "there is no snapshot yet"
    raise WorkError(
        f"{', '.join(wrong)} not finite after {trainer.images_seen} images; {last}; go on from it with {advice}"
    )


@contextmanager
def _stop_signal() -> Iterator[list[int]]:
    """Collects SIGINT and SIGTERM instead of dying in the middle of a step."""
    heard: list[int] = []

    def hear(number: int, frame: FrameType | None) -> None:
        heard.append(number)

    before = {number: signal.signal(number, hear) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield heard
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _bar(trainer: InTraining, images: float, shown: bool) -> Any:
    total = int(images)
    return Progress(
        total=total,
        initial=min(trainer.images_seen, total),
        unit="img",
        unit_scale=True,
        disable=not shown,
        mininterval=1,
    )


class _Log:
    """What is shown, as lines of JSON, and to TensorBoard where it is installed; the first process writes."""

    def __init__(self, folder: Path, trainer: InTraining) -> None:
        self.trainer, self.folder = trainer, folder
        self.file: Any = None
        self.board: Any = None

    def __enter__(self) -> "_Log":
        if self.trainer.world.rank == 0:
            self.file = open(self.folder / LOG, "a", encoding="utf-8")
            try:
                from torch.utils.tensorboard import SummaryWriter

                self.board = SummaryWriter(str(self.folder / "tensorboard"))
            except ImportError:
                pass
        return self

    def __exit__(self, *_: object) -> None:
        for open_one in (self.file, self.board):
            if open_one is not None:
                open_one.close()

    def write(self, values: dict[str, float]) -> None:
        if self.file is None:
            return
        line = {"kimg": self.trainer.images_seen / 1000, "step": self.trainer.step} | values
        self.file.write(json.dumps({k: round(v, 6) for k, v in line.items()}) + "\n")
        self.file.flush()
        if self.board is not None:
            for name, value in values.items():
                self.board.add_scalar(name, value, self.trainer.images_seen)
