"""A long training run: progress, log, snapshots, sample sheets; stops cleanly and says where it can go on."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from labelfactory.errors import InputError
from labelfactory.factory.training.curves import LOG, PICTURE, REPORT, draw_curves
from labelfactory.factory.training.dataset import ImageDataset
from labelfactory.factory.training.generator_order import SNAPSHOT, GeneratorOrder
from labelfactory.factory.training.long_run import long_run, open_folder
from labelfactory.factory.training.parallel import join, leave
from labelfactory.factory.training.snapshots import save_snapshot
from labelfactory.factory.training.trained import TRAINED
from labelfactory.factory.training.trainer import Trainer


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

    Raises ``WorkError`` where a loss is no longer finite, or when interrupted (``long_run``).
    """
    if trainer.world.rank == 0:
        open_folder(out, (PICTURE, trainer.made, "samples"))
    kept = _times(trainer, keep_kimg)

    def keep() -> None:
        nonlocal kept
        if _times(trainer, keep_kimg) > kept:
            kept = _times(trainer, keep_kimg)
            save(trainer, out, metadata, f"generator-{trainer.images_seen // 1000:06}{trainer.ending}")

    every = snapshot_minutes
    long_run(trainer, out, kimg * 1000, lambda: save(trainer, out, metadata), every, keep, trainer.remedy, progress)
    trainer.world.wait()  # the first one has been writing


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
