"""A long training run: progress, log, snapshots, sample sheets; stops cleanly and says where it can go on."""

import json
import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor

from labelfactory.errors import InputError, Interrupted, WorkError
from labelfactory.factory.training.curves import LOG, PICTURE, REPORT, draw_curves
from labelfactory.factory.training.dataset import ImageDataset
from labelfactory.factory.training.generator_order import SNAPSHOT, GeneratorOrder
from labelfactory.factory.training.parallel import join, leave
from labelfactory.factory.training.snapshots import save_snapshot
from labelfactory.factory.training.trained import TRAINED
from labelfactory.factory.training.trainer import Trainer
from labelfactory.ownership import claim
from labelfactory.progress import Progress

TICK = 16  # steps between two looks at the losses: each look waits for the device


def run(
    trainer: Trainer,
    out: Path,
    kimg: float,
    snapshot_minutes: float = 5.0,
    keep_kimg: float | None = None,
    metadata: dict[str, Any] | None = None,
    progress: bool = True,
) -> None:
    """Trains until ``kimg`` thousand images have been seen in all.

    In ``out``: ``snapshot.pt`` (continue from it), the generator (sample with it), ``samples/`` (a sheet a
    snapshot, always of the same latents), ``log.jsonl`` (a line every 16 steps), ``curves.png`` (the log, and quality
    where it was measured), TensorBoard's events where it is installed; with ``keep_kimg`` a generator is kept under its
    own name every ``keep_kimg`` thousand images.

    Raises ``WorkError`` where a loss is no longer finite, or when interrupted (SIGINT, SIGTERM: after the step at
    hand, with a snapshot); the message says what to go on from.
    """
    if trainer.world.rank == 0:
        if not ((out / SNAPSHOT).is_file() and (out / LOG).is_file()):  # a run of an earlier version goes on
            claim(out, (SNAPSHOT, LOG, PICTURE, trainer.made, "samples"))
        try:
            (out / "samples").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{out}: cannot be made a folder ({error.strerror})") from None
    first, began = trainer.images_seen, time.monotonic()
    saved, sums, count = began, dict[str, list[Tensor]](), 0
    kept = _times(trainer, keep_kimg)
    shown = progress and trainer.world.rank == 0
    with _stop_signal() as stop, _Log(out, trainer) as log, _bar(trainer, kimg, shown) as bar:
        while trainer.images_seen < kimg * 1000:
            for name, value in trainer.train_step().items():
                sums.setdefault(name, []).append(value)
            count += 1
            bar.update(trainer.recipe.batch)
            at_once = bool(stop) and trainer.world.size == 1
            if count % TICK and trainer.images_seen < kimg * 1000 and not at_once:
                continue
            means = torch.stack([torch.stack(values).mean() for values in sums.values()])
            stats = dict(zip(sums, (trainer.world.sum_(means) / trainer.world.size).tolist(), strict=True))
            sums.clear()
            _require_finite(trainer, stats, out)
            rate = (trainer.images_seen - first) / max(time.monotonic() - began, 1e-9)
            log.write(stats, rate)
            bar.set_postfix_str(" ".join(f"{k} {v:.3f}" for k, v in trainer.shown(stats).items()), refresh=False)
            interrupted = trainer.world.any(bool(stop))
            if interrupted or time.monotonic() - saved > snapshot_minutes * 60:
                save(trainer, out, metadata)
                saved = time.monotonic()
            if _times(trainer, keep_kimg) > kept:
                kept = _times(trainer, keep_kimg)
                save(trainer, out, metadata, f"generator-{trainer.images_seen // 1000:06}{trainer.ending}")
            if interrupted:
                raise Interrupted(
                    f"interrupted after {trainer.images_seen} images; the same command goes on from {out / SNAPSHOT}"
                )
    save(trainer, out, metadata)


def train_generator(order: GeneratorOrder, tell: Callable[[str], Any] = print, progress: bool = True) -> Path:
    """Trains what ``order`` asks for, or goes on with it; the file of the generator. ``tell`` gets lines for a person.

    Started by torchrun, every process calls this; the first tells and writes.
    """
    world = join(order.device)
    try:
        first = world.rank == 0
        shown = progress and first
        images = ImageDataset(order.data, order.resolution, order.fit, order.channels, order.conditional, shown)
        own = order.out / SNAPSHOT
        source = str(own) if own.exists() else order.resume
        trainer, usual = TRAINED[order.family].part("begin")(order, images, world, source)
        if order.compiled:
            trainer.compile()
        if first:
            for line in images.remarks():
                tell(line)
            size = sum(p.numel() for p in trainer.networks()[0].parameters()) / 1e6
            kind = f"{images.resolution} px, {images.channels} channels, {images.label_dim} classes"
            tell(f"{len(images)} images, {kind}; generator of {size:.1f} M parameters")
            tell(f"{world.size} x {world.device}, {trainer.recipe.precision}")
            tell(trainer.numbers())
            tell(f"goes on from {source} at {trainer.images_seen / 1000:g} kimg" if source else "starts fresh")
        kimg, about = order.kimg or usual, {"preset": order.preset}
        run(trainer, order.out, kimg, order.snapshot_minutes, order.keep_kimg, about, progress)
        made = order.out / trainer.made
        if first:
            tell(f"{made}: {trainer.images_seen} images seen; look at {order.out / 'samples'}")
        return made
    finally:
        leave()


def _times(trainer: Trainer, kimg: float | None) -> int:
    """How often the run has passed a multiple of ``kimg``, however often it was stopped in between."""
    return int(trainer.images_seen / (kimg * 1000)) if kimg else 0


def save(trainer: Trainer, out: Path, metadata: dict[str, Any] | None = None, name: str = "") -> None:
    """Snapshot, generator, a sheet of samples and, where matplotlib is installed, the run's curves. Only the first
    process writes."""
    if trainer.world.rank:
        return
    save_snapshot(trainer, out / SNAPSHOT)
    told = {"images_seen": trainer.images_seen, "recipe": trainer.recipe.to_dict(), "data": trainer.data.source}
    trainer.save_generator(out / (name or trainer.made), (metadata or {}) | told)
    trainer.sheet().save(out / "samples" / f"{trainer.images_seen // 1000:06}.png")
    with suppress(ImportError, InputError):  # a picture is not worth a run
        draw_curves(out / PICTURE, [out / LOG], out / REPORT)


def _require_finite(trainer: Trainer, stats: dict[str, float], out: Path) -> None:
    wrong = [name for name, value in stats.items() if not math.isfinite(value)]
    if not wrong:
        return
    last = f"last good snapshot: {out / SNAPSHOT}" if (out / SNAPSHOT).exists() else "there is no snapshot yet"
    raise WorkError(
        f"{', '.join(wrong)} not finite after {trainer.images_seen} images; {last}; go on from it with {trainer.remedy}"
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


def _bar(trainer: Trainer, kimg: float, shown: bool) -> Any:
    total = int(kimg * 1000)
    return Progress(
        total=total,
        initial=min(trainer.images_seen, total),
        unit="img",
        unit_scale=True,
        disable=not shown,
        mininterval=1,
    )


class _Log:
    """Losses, r_t, p and rate: as lines of JSON, and to TensorBoard where it is installed."""

    def __init__(self, out: Path, trainer: Trainer) -> None:
        self.trainer, self.out = trainer, out
        self.file: Any = None
        self.board: Any = None

    def __enter__(self) -> "_Log":
        if self.trainer.world.rank == 0:
            self.file = open(self.out / LOG, "a", encoding="utf-8")
            try:
                from torch.utils.tensorboard import SummaryWriter

                self.board = SummaryWriter(str(self.out / "tensorboard"))
            except ImportError:
                pass
        return self

    def __exit__(self, *_: object) -> None:
        for open_one in (self.file, self.board):
            if open_one is not None:
                open_one.close()

    def write(self, stats: dict[str, float], rate: float) -> None:
        if self.file is None:
            return
        values = self.trainer.shown(stats) | {"images_per_second": round(rate, 2)}
        line = {"kimg": self.trainer.images_seen / 1000, "step": self.trainer.step} | values
        self.file.write(json.dumps({k: round(v, 6) for k, v in line.items()}) + "\n")
        self.file.flush()
        if self.board is not None:
            for name, value in values.items():
                self.board.add_scalar(name, value, self.trainer.images_seen)
