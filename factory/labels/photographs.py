"""Photographs that become samples while somebody draws: inverted a few at a time, in a process of its own.

Where the generator's family looks at photographs themselves, they are samples as they are.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from labelfactory.factory.labels.child_process import ChildProcess
from labelfactory.interpreters.labelset import LabelSet, Sample

BATCH = 4  # photographs at a time: the first ones are there soon


@dataclass(frozen=True)
class Photographs:
    """Some that are ready. ``fidelities``: by name, the share of each one's variance that its latent explains."""

    samples: tuple[Sample, ...]
    fidelities: dict[str, float]
    left: int


class PhotographProcess(ChildProcess):
    """Inverts the pictures of a folder that a label set lacks; ``hear`` gets ``Photographs``, or one WorkError.

    It is called in a thread of its own.
    """

    def __init__(
        self, folder: Path, labels: LabelSet, generator: str, device: str, hear: Callable[[Any], None]
    ) -> None:
        arguments = (folder, replace(labels, samples=()), [s.name for s in labels], generator, device)
        # the proposals come first
        super().__init__(invert_photographs, arguments, hear, "photographs", "photographs", niceness=10)


def invert_photographs(
    pipe: Connection, folder: Path, labels: LabelSet, known: Sequence[str], generator: str, device: str
) -> None:
    """What the process does: sends ``Photographs`` for a folder's pictures that are not ``known`` yet."""
    import numpy as np
    import torch

    from labelfactory.factory.cache import cache_dir
    from labelfactory.factory.families import open_generator
    from labelfactory.factory.generator import Seeing, invertible
    from labelfactory.factory.labels.encoder import ensure_encoder
    from labelfactory.factory.labels.inversion import invert
    from labelfactory.factory.labels.real_images import read_images, unlabelled

    torch.set_num_threads(1)
    opened = open_generator(generator, device).cropped(labels.crop)
    names, images = read_images(folder, opened)
    found = unlabelled(opened, generator, names, images, labels.classes, labels.truncation)
    todo = [s for s in found if s.name not in known]
    if isinstance(opened, Seeing):
        seen = tuple(s._replace(origin=None) for s in todo)
        pipe.send(Photographs(seen, {s.name: 1.0 for s in seen}, 0))
        return
    network = invertible(opened)
    encoder = ensure_encoder(network, cache_dir(), progress=False)
    for start in range(0, len(todo), BATCH):
        batch = todo[start : start + BATCH]
        result = invert(network, np.stack([s.image for s in batch]), encoder, progress=False)
        samples = tuple(s._replace(origin=w.astype(np.float32)) for s, w in zip(batch, result.ws, strict=True))
        fidelities = {s.name: float(f) for s, f in zip(batch, result.fidelity, strict=True)}
        pipe.send(Photographs(samples, fidelities, len(todo) - start - len(batch)))
