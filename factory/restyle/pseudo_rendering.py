"""The arrays of a range of samples whose masks segmenters gave to pictures."""

import tempfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy import ndarray as Array

from labelfactory.errors import InputError
from labelfactory.factory.device import resolve_device
from labelfactory.factory.production.job import Job
from labelfactory.factory.production.models import model_file
from labelfactory.factory.restyle.pseudo_labelling import PictureArchive, open_pictures_of, said
from labelfactory.factory.segmenters.catalogue import load_segmenter
from labelfactory.factory.segmenters.segmenter import Segmenter
from labelfactory.interpreters.uncertainty import image_score
from labelfactory.limits import IGNORE_INDEX
from labelfactory.storage import sample_seeds


@lru_cache(maxsize=2)
def _makers(job: Job) -> tuple[PictureArchive, list[Segmenter]]:
    """Loaded once in a process."""
    sha256 = job.spec.interpreter_sha256
    path, _ = model_file(job, "interpreter", job.interpreter, sha256)
    archive, device = open_pictures_of(path, sha256), resolve_device(job.device)
    networks: list[Segmenter] = []
    for name, content in sorted(archive.files.items()):
        if name.startswith("segmenter."):
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder) / "s.safetensors"
                file.write_bytes(content.numpy().tobytes())
                network, _ = load_segmenter(file)
            if not isinstance(network, Segmenter):
                raise InputError(f"{path}: holds a network that gives no class to every pixel")
            networks.append(network.to(device))
    return archive, networks


def render_pseudo_labelled(
    job: Job, start: int, stop: int, on_progress: Callable[[int], Any] = lambda n: None
) -> dict[str, np.ndarray]:
    """Every array of samples ``start`` to ``stop``; pixels more doubtful than their class's limit are 255."""
    archive, networks = _makers(job)
    parts: dict[str, list[Array]] = {}
    limits = np.array(archive.limits, np.float32)
    for index in range(start, stop):
        image = archive.picture(index)
        mask, doubt, agree = said(networks, image, archive.tile, archive.bf16)
        one = {
            "image": image,
            "mask": np.where(doubt <= limits[mask], mask, IGNORE_INDEX).astype(np.uint8),
            "uncertainty": doubt.astype(np.float16),
            "uncertainty_score": image_score(torch.from_numpy(doubt)[None])[0].numpy(),
            "agreement": agree.astype(np.float16),
            "source_picture": np.uint64(index),
        }
        for name, value in one.items():
            parts.setdefault(name, []).append(np.asarray(value))
        on_progress(1)
    found = {name: np.stack(values) for name, values in parts.items()}
    latent = np.full((stop - start, 1), np.nan, np.float32)
    return found | {"seed": sample_seeds(job.spec.seed, start, stop), "latent": latent}
