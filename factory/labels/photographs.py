"""Photographs that become samples while somebody draws: inverted a few at a time, in a process of its own."""

import multiprocessing
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from labelfactory.errors import InputError, WorkError
from labelfactory.interpreters.labelset import LabelSet, Sample

BATCH = 4  # photographs at a time: the first ones are there soon


@dataclass(frozen=True)
class Photographs:
    """Some that are ready. ``fidelities``: by name, the share of each one's variance that its latent explains."""

    samples: tuple[Sample, ...]
    fidelities: dict[str, float]
    left: int


class PhotographProcess:
    """Inverts the pictures of a folder that a label set lacks; ``hear`` gets ``Photographs``, or one WorkError.

    It is called in a thread of its own.
    """

    def __init__(
        self, folder: Path, labels: LabelSet, generator: str, device: str, hear: Callable[[Any], None]
    ) -> None:
        context = multiprocessing.get_context("spawn")
        self._here, there = context.Pipe(duplex=False)
        bare = replace(labels, samples=())
        arguments = (there, folder, bare, [s.name for s in labels], generator, device)
        self._process = context.Process(target=_main, args=arguments, daemon=True, name="labelling: photographs")
        self._process.start()
        there.close()
        self._hear = hear
        self._listener = threading.Thread(target=self._listen, name="labelling: photographs", daemon=True)
        self._listener.start()

    def stop(self) -> None:
        self._process.kill()
        self._process.join()
        self._listener.join(5)

    def _listen(self) -> None:
        while True:
            try:
                message = self._here.recv()
            except (EOFError, OSError):
                return
            self._hear(WorkError(message) if isinstance(message, str) else message)


def _main(pipe: Connection, folder: Path, labels: LabelSet, known: Sequence[str], generator: str, device: str) -> None:
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(10)  # the proposals come first
    try:
        _invert(pipe, folder, labels, known, generator, device)
    except (InputError, WorkError, OSError, MemoryError, RuntimeError) as error:
        pipe.send(f"photographs: {' '.join(str(error).split())[:300]}")


def _invert(
    pipe: Connection, folder: Path, labels: LabelSet, known: Sequence[str], generator: str, device: str
) -> None:
    import numpy as np
    import torch

    from labelfactory.factory.cache import cache_dir
    from labelfactory.factory.families import open_generator
    from labelfactory.factory.generator import invertible
    from labelfactory.factory.labels.encoder import ensure_encoder
    from labelfactory.factory.labels.inversion import invert
    from labelfactory.factory.labels.real_images import read_images, unlabelled

    torch.set_num_threads(1)
    network = invertible(open_generator(generator, device)).cropped(labels.crop)
    names, images = read_images(folder, network)
    found = unlabelled(network, generator, names, images, labels.classes, labels.truncation)
    todo = [s for s in found if s.name not in known]
    encoder = ensure_encoder(network, cache_dir(), progress=False)
    for start in range(0, len(todo), BATCH):
        batch = todo[start : start + BATCH]
        result = invert(network, np.stack([s.image for s in batch]), encoder, progress=False)
        samples = tuple(s._replace(origin=w.astype(np.float32)) for s, w in zip(batch, result.ws, strict=True))
        fidelities = {s.name: float(f) for s, f in zip(batch, result.fidelity, strict=True)}
        pipe.send(Photographs(samples, fidelities, len(todo) - start - len(batch)))
