"""A run's state on disk: written whole, read without executing anything."""

from pathlib import Path
from typing import Any

import torch

from labelfactory.errors import InputError, WorkError
from labelfactory.factory.training.generator_order import SNAPSHOT
from labelfactory.factory.training.long_run import InTraining
from labelfactory.whole_files import whole_file


def save_snapshot(trainer: InTraining, path: Path) -> None:
    """Written beside and renamed: a kill at any moment leaves the old snapshot or the new one.

    Raises ``WorkError`` for weights that are no longer finite (nothing is written) and where the disk refuses.
    """
    if not all(bool(value.isfinite().all()) for network in trainer.networks() for value in network.parameters()):
        raise WorkError(f"weights are not finite after {trainer.images_seen} images; last good snapshot: {path}")
    with whole_file(path) as file:
        torch.save(trainer.state_dict(), file)


def read_state(path: Path) -> dict[str, Any]:
    """What ``state_dict`` gave, of whichever family. Raises ``InputError`` for what is no snapshot."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; expected a {SNAPSHOT} of an earlier run") from None
    except Exception as error:  # a damaged file can fail in any step
        raise InputError(f"{path}: is not a readable {SNAPSHOT} ({type(error).__name__})") from None
    if not isinstance(state, dict):
        raise InputError(f"{path}: is not a {SNAPSHOT} that this release reads")
    return state


def family_of(state: dict[str, Any]) -> str:
    """The family that a state is of; snapshots of StyleGAN2 name none."""
    return str(state.get("family", "stylegan2"))


def is_snapshot(source: str) -> bool:
    """Whether a place is a run's snapshot (a zip archive, as ``torch.save`` writes it) and not a checkpoint."""
    if "://" in source:
        return False
    try:
        with open(source, "rb") as file:
            return file.read(2) == b"PK"
    except IsADirectoryError:
        return False
    except OSError:
        return source.endswith(".pt")
