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
from PIL import Image
from torch import Tensor

from labelfactory.errors import InputError, Interrupted, WorkError
from labelfactory.factory.pixels import to_uint8
from labelfactory.factory.stylegan2_ada.checkpoint import save_safetensors
from labelfactory.factory.stylegan2_ada.networks import Generator
from labelfactory.factory.stylegan2_ada.order import SNAPSHOT, GeneratorOrder
from labelfactory.factory.stylegan2_ada.presets import Recipe, preset
from labelfactory.factory.stylegan2_ada.snapshots import save_snapshot, start
from labelfactory.factory.stylegan2_ada.training import Trainer
from labelfactory.factory.training.curves import LOG, PICTURE, REPORT, draw_curves
from labelfactory.factory.training.dataset import ImageDataset
from labelfactory.factory.training.parallel import join, leave
from labelfactory.factory.training.precision import best_precision
from labelfactory.interpreters.array_types import Float
from labelfactory.ownership import claim
from labelfactory.progress import Progress

MADE = "generator.safetensors"
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

    In ``out``: ``snapshot.pt`` (continue from it), ``generator.safetensors`` (sample with it), ``samples/`` (a sheet a
    snapshot, always of the same latents), ``log.jsonl`` (a line every 16 steps), ``curves.png`` (the log, and quality
    where it was measured), TensorBoard's events where it is installed; with ``keep_kimg`` a generator is kept under its
    own name every ``keep_kimg`` thousand images.

    Raises ``WorkError`` where a loss is no longer finite, or when interrupted (SIGINT, SIGTERM: after the step at
    hand, with a snapshot); the message says what to go on from.
    """
    if trainer.world.rank == 0:
        if not ((out / SNAPSHOT).is_file() and (out / LOG).is_file()):  # a run of an earlier version goes on
            claim(out, (SNAPSHOT, LOG, PICTURE, MADE, "samples"))
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
            bar.set_postfix_str(" ".join(f"{k} {v:.3f}" for k, v in log.shown(stats).items()), refresh=False)
            interrupted = trainer.world.any(bool(stop))
            if interrupted or time.monotonic() - saved > snapshot_minutes * 60:
                save(trainer, out, metadata)
                saved = time.monotonic()
            if _times(trainer, keep_kimg) > kept:
                kept = _times(trainer, keep_kimg)
                save(trainer, out, metadata, f"generator-{trainer.images_seen // 1000:06}.safetensors")
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
        chosen = preset(order.preset, images.resolution, world.size)
        precision = best_precision(order.precision, world.device, chosen.recipe.half_resolutions)
        own = order.out / SNAPSHOT
        source = str(own) if own.exists() else order.resume
        trainer = start(images, chosen, world, source, {**order.wishes, **precision}, order.micro)
        if order.compiled:
            trainer.compile()
        if first:
            for line in images.remarks():
                tell(line)
            size = sum(p.numel() for p in trainer.generator.parameters()) / 1e6
            kind = f"{images.resolution} px, {images.channels} channels, {images.label_dim} classes"
            tell(f"{len(images)} images, {kind}; generator of {size:.1f} M parameters")
            tell(f"{world.size} x {world.device}, {trainer.recipe.precision}")
            tell(_numbers(trainer.recipe))
            tell(f"goes on from {source} at {trainer.images_seen / 1000:g} kimg" if source else "starts fresh")
        kimg, about = order.kimg or chosen.kimg, {"preset": order.preset}
        run(trainer, order.out, kimg, order.snapshot_minutes, order.keep_kimg, about, progress)
        made = order.out / MADE
        if first:
            tell(f"{made}: {trainer.images_seen} images seen; look at {order.out / 'samples'}")
        return made
    finally:
        leave()


def _numbers(recipe: Recipe) -> str:
    """What the run follows: the preset's numbers, or the snapshot's, with the caller's wishes."""
    strength = "adaptive" if recipe.augment_p is None else f"p {recipe.augment_p:g}"
    parts = [f"batch {recipe.batch}", f"learning rate {recipe.learning_rate:g}", f"gamma {recipe.r1_gamma:g}"]
    parts += [f"EMA {recipe.ema_kimg:g} kimg", f"augmentation {recipe.augment} ({strength})"]
    parts += [f"path length {recipe.pl_weight:g}", f"noise {'on' if recipe.noise else 'off'}"]
    return ", ".join([*parts, f"seed {recipe.seed}"])


def _times(trainer: Trainer, kimg: float | None) -> int:
    """How often the run has passed a multiple of ``kimg``, however often it was stopped in between."""
    return int(trainer.images_seen / (kimg * 1000)) if kimg else 0


def save(trainer: Trainer, out: Path, metadata: dict[str, Any] | None = None, name: str = MADE) -> None:
    """Snapshot, generator with its discriminator, a sheet of samples and, where matplotlib is installed, the run's
    curves. Only the first process writes."""
    if trainer.world.rank:
        return
    save_snapshot(trainer, out / SNAPSHOT)
    told = {"images_seen": trainer.images_seen, "recipe": trainer.recipe.to_dict(), "data": trainer.data.source}
    save_safetensors(out / name, trainer.ema, trainer.discriminator, (metadata or {}) | told)
    sheet = sample_sheet(trainer.ema, trainer.data.labels)
    sheet.save(out / "samples" / f"{trainer.images_seen // 1000:06}.png")
    with suppress(ImportError, InputError):  # a picture is not worth a run
        draw_curves(out / PICTURE, [out / LOG], out / REPORT)


@torch.no_grad()
def sample_sheet(
    generator: Generator, labels: Float[Tensor, "images classes"], rows: int = 6, columns: int = 10, psi: float = 1.0
) -> Image.Image:
    """Random samples in rows, of the same latents at each call."""
    n, rng = rows * columns, torch.Generator().manual_seed(0)
    device = generator.mapping.w_avg.device
    z = torch.randn(n, generator.z_dim, generator=rng)
    c = labels[torch.randint(0, len(labels), (n,), generator=rng)]
    images = []
    for z_part, c_part in zip(z.split(columns), c.split(columns), strict=True):
        c_given = c_part.to(device) if generator.c_dim else None
        images.append(to_uint8(generator(z_part.to(device), c_given, truncation_psi=psi, noise_mode="const")).cpu())
    grid = torch.cat([torch.cat(list(row), dim=2) for row in images], dim=1)
    return Image.fromarray(grid[0].numpy() if grid.shape[0] == 1 else grid.permute(1, 2, 0).numpy())


def _require_finite(trainer: Trainer, stats: dict[str, float], out: Path) -> None:
    wrong = [name for name, value in stats.items() if not math.isfinite(value)]
    if not wrong:
        return
    last = f"last good snapshot: {out / SNAPSHOT}" if (out / SNAPSHOT).exists() else "there is no snapshot yet"
    raise WorkError(
        f"{', '.join(wrong)} not finite after {trainer.images_seen} images; {last}; "
        "go on from it with a lower learning rate or a higher gamma"
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

    def shown(self, stats: dict[str, float]) -> dict[str, float]:
        """What a person looks at: losses, overfitting, strength of augmentation."""
        return {k: v for k, v in stats.items() if k != "sign"} | {"r_t": self.trainer.ada.r_t, "p": self.trainer.ada.p}

    def write(self, stats: dict[str, float], rate: float) -> None:
        if self.file is None:
            return
        values = self.shown(stats) | {"images_per_second": round(rate, 2)}
        line = {"kimg": self.trainer.images_seen / 1000, "step": self.trainer.step} | values
        self.file.write(json.dumps({k: round(v, 6) for k, v in line.items()}) + "\n")
        self.file.flush()
        if self.board is not None:
            for name, value in values.items():
                self.board.add_scalar(name, value, self.trainer.images_seen)
