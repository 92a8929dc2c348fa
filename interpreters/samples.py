"""What a label set is made of: labelled images, and what holds for all of them."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from labelfactory.interpreters.array_types import Float, UInt8
from labelfactory.interpreters.channels import ValueChannel
from labelfactory.interpreters.classes import LabelClass
from labelfactory.interpreters.crop import Crop
from labelfactory.limits import IGNORE_INDEX, TRUNCATION


class Sample(NamedTuple):
    """One image with its labels. The first four fields are always there.

    Attributes:
        name: file stem, unique in its set; the files are ``images/{name}.png`` and ``masks/{name}.png``.
        image: what the person saw, 1 or 3 channels.
        mask: class ids; 255 where nothing was labelled.
        origin: the seed (0 to 2^64 - 1) that the generator made the image from, or a latent: float32 of the
            generator's ``latent_shape`` (z), or ``[layers, w_dim]`` (W+, used as it is, without truncation);
            None: it is a photograph, which the generator looks at itself (``Seeing``).
        keypoints: x, y in pixels (a pixel's centre is at + 0.5) and COCO's visibility (0 not labelled, 1 hidden,
            2 visible) of the set's keypoints, in their order; None: not labelled.
        values: the set's value channels in their order and units, NaN where not labelled; None: nowhere labelled.
        condition: class that a conditional generator made the image of; None: of none, or the latent is w.
        drawn: the mask as a person drew it, where a restorer has completed it since; None: the mask is that.
        restored_by: sha256 of that restorer's file; "" where there was none.
    """

    name: str
    image: UInt8[np.ndarray, "height width channels"]
    mask: UInt8[np.ndarray, "height width"]
    origin: int | Float[np.ndarray, "..."] | None
    keypoints: Float[np.ndarray, "keypoints 3"] | None = None
    values: Float[np.ndarray, "height width values"] | None = None
    condition: int | None = None
    drawn: UInt8[np.ndarray, "height width"] | None = None
    restored_by: str = ""

    @property
    def seed(self) -> int | None:
        return None if self.origin is None or isinstance(self.origin, np.ndarray) else int(self.origin)

    @property
    def latent(self) -> np.ndarray | None:
        return self.origin if isinstance(self.origin, np.ndarray) else None

    @property
    def group(self) -> str:
        """The name up to an "@": samples that differ behind it alone are views of one picture."""
        return self.name.split("@")[0]

    @property
    def picture(self) -> str:
        """The older name of ``group``."""
        return self.group

    @property
    def labelled(self) -> bool:
        """Whether a person labelled any pixel of it."""
        return bool((self.mask != IGNORE_INDEX).any())


@dataclass(frozen=True, eq=False)
class Contents:
    """What the files of a label set say, field by field.

    Attributes:
        classes: in the order of their ids.
        samples: all of one image size.
        generator_uri, generator_sha256: which generator made (or, by inversion, explains) the images.
        truncation: ψ that turned the seeds into images.
        where: what errors begin with (a file, if loaded).
        keypoints: names of the points that samples may have.
        values: channels of the continuous labels that samples may have.
        crop: which part of the generator's pictures the images and labels are; None: all of it.
    """

    classes: tuple[LabelClass, ...]
    samples: tuple[Sample, ...]
    generator_uri: str
    generator_sha256: str
    truncation: float = TRUNCATION
    where: str = "label set"
    keypoints: tuple[str, ...] = ()
    values: tuple[ValueChannel, ...] = ()
    crop: Crop | None = None
