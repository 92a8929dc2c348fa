"""The label set: a handful of images, what a person drew on them, and where in the generator they come from.

On disk it is a folder: ``labelset.json``, ``images/NAME.png``, ``masks/NAME.png`` (8-bit indexed) and, for images
that come from inversion instead of a seed, ``latents/NAME.npy``; continuous labels are ``values/NAME.npy``.
docs/labels.md describes every field.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from labelfactory.errors import InputError
from labelfactory.interpreters.labelset_checks import check_label_set
from labelfactory.interpreters.labelset_reader import read_label_set
from labelfactory.interpreters.labelset_writer import write_label_set
from labelfactory.interpreters.samples import Contents, Sample

__all__ = ["LabelSet", "Sample"]


@dataclass(frozen=True, eq=False)
class LabelSet(Contents):
    """Labelled samples of one generator. Checked when made: what exists is consistent.

    Raises:
        InputError: anything inconsistent; the line begins with ``where`` (a file, if loaded).
    """

    def __post_init__(self) -> None:
        check_label_set(self)

    def __len__(self) -> int:
        return len(self.samples)

    def __iter__(self) -> Iterator[Sample]:
        return iter(self.samples)

    @property
    def class_names(self) -> tuple[str, ...]:
        return tuple(c.name for c in self.classes)

    @property
    def labelled(self) -> "LabelSet":
        """The same set without the samples that nobody has labelled yet."""
        return replace(self, samples=tuple(s for s in self.samples if s.labelled))

    @property
    def content_sha256(self) -> str:
        """Hash of what an interpreter trained on this set depends on; images, files and paths do not count."""
        digest = hashlib.sha256()
        classes = [[c.name, *c.color, c.thing] for c in self.classes]
        header = [classes, self.generator_sha256, self.truncation, self.keypoints]
        if self.crop is not None:
            header.append(self.crop.numbers)
        digest.update(json.dumps(header).encode())
        for s in self.samples:
            shape = s.mask.shape, s.seed, None if s.latent is None else s.latent.shape
            digest.update(json.dumps([s.name, *shape]).encode())
            digest.update(np.ascontiguousarray(s.mask).tobytes())
            if s.keypoints is not None:
                digest.update(b"keypoints" + np.ascontiguousarray(s.keypoints, dtype="<f4").tobytes())
            if s.latent is not None:
                digest.update(np.ascontiguousarray(s.latent, dtype="<f4").tobytes())
            if s.origin is None:
                digest.update(b"photograph" + np.ascontiguousarray(s.image).tobytes())
            if s.condition is not None:
                digest.update(b"condition" + str(s.condition).encode())
        return digest.hexdigest()

    @property
    def values_sha256(self) -> str:
        """Hash of what a regressor trained on this set's values depends on; interpreters do not depend on those."""
        digest = hashlib.sha256(json.dumps([self.content_sha256, [c.to_json() for c in self.values]]).encode())
        for s in self.samples:
            if s.values is not None:
                digest.update(s.name.encode() + np.ascontiguousarray(s.values, dtype="<f4").tobytes())
        return digest.hexdigest()

    def embed(self, inside: np.ndarray, around: float | int, size: tuple[int, int]) -> np.ndarray:
        """Labels [..., height, width] of the crop as those of the generator's whole picture of that size."""
        if self.crop is None:
            return inside
        return self.crop.embed(inside, np.full((*inside.shape[:-2], *size), around, inside.dtype))

    def check_generator(self, sha256: str) -> None:
        """InputError unless these labels belong to the generator of that hash: feature maps of another mean nothing."""
        if sha256 != self.generator_sha256:
            raise InputError(
                f"{self.where}: labels belong to generator {self.generator_uri} "
                f"(sha256 {self.generator_sha256[:12]}...), "
                f"the one given has sha256 {sha256[:12]}...; give that generator or labels made for this one"
            )

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> "LabelSet":
        """Read and check a label set's folder. InputError names the first file that is wrong and what to do."""
        return cls(**vars(read_label_set(folder)))

    def save(self, folder: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the folder; an interruption leaves what was there or what is new, and no other file is touched.

        Raises:
            InputError: ``folder`` exists, is not empty and ``overwrite`` is off; or it is no label set; or a file that
                the set in it does not name has the name of one to be written.
            WorkError: the disk refuses; the line says what is left.
        """
        write_label_set(self, folder, overwrite)
