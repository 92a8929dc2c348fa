"""A run of a method: begun or gone on with in a folder beside the file that it makes."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from labelfactory.errors import InputError
from labelfactory.factory.training.curves import LOG, PICTURE, draw_curves
from labelfactory.factory.training.generator_order import SNAPSHOT
from labelfactory.factory.training.long_run import long_run, open_folder
from labelfactory.factory.training.snapshots import read_state, save_snapshot
from labelfactory.factory.translation.sheet import sheet_of
from labelfactory.factory.translation.training import TranslationTrainer


def run_folder(out: Path) -> Path:
    """Where the run of a file keeps its snapshot, its log and its sheets."""
    return out.with_name(f"{out.name.removesuffix('.safetensors')}.run")


def run(
    trainer: TranslationTrainer,
    out: Path,
    write: Callable[[], Any],
    tell: Callable[[str], Any] = print,
    progress: bool = True,
) -> None:
    """Trains to the end, from the run's snapshot on where there is one; ``write`` writes the file of the model.

    Raises what ``long_run`` raises; InputError where the snapshot is of another run.
    """
    folder = run_folder(out)
    open_folder(folder, (PICTURE, "samples"))
    snapshot = folder / SNAPSHOT
    if snapshot.exists():
        trainer.load_state_dict(read_state(snapshot), str(snapshot))
        tell(f"goes on from {snapshot} at {trainer.images_seen / 1000:g} kimg")

    def save() -> None:
        save_snapshot(trainer, snapshot)
        sample_sheet(trainer).save(folder / "samples" / f"{trainer.images_seen:08}.png")
        with suppress(ImportError, InputError):  # a picture is not worth a run
            draw_curves(folder / PICTURE, [folder / LOG])
        write()

    images = float(trainer.total * trainer.batch)
    if trainer.images_seen >= images:  # finished before: the file may be gone, the snapshot has everything
        write()
        return
    long_run(trainer, folder, images, save, trainer.settings.snapshot_minutes, progress=progress)


@torch.no_grad()
def sample_sheet(trainer: TranslationTrainer) -> Image.Image:
    """What the averaged makers make of the examples that are always shown."""
    batch = trainer.examples.shown().to(trainer.world.device)
    return sheet_of(trainer.method.panels(trainer.average, batch))
