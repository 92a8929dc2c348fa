"""More labels from the same drawing: every mirror image and turn of a labelled picture is labelled too, in any light.

A generator's features do not turn with the image, so that each view, inverted, teaches an interpreter something new;
views in other light teach it not to go by brightness where a few pictures make that look safe.
"""

from dataclasses import replace
from itertools import product

import numpy as np

from labelfactory.errors import InputError
from labelfactory.factory.amplify import AMPLIFY
from labelfactory.factory.symmetry import dihedral, dihedral_points, element
from labelfactory.interpreters.labelset import LabelSet, Sample

# (mirrored, quarter turns) of each view, the picture itself first
VIEWS = {name: tuple(product((False, True)[:flips], range(turns))) for name, (flips, turns) in AMPLIFY.items()}


LIGHTS = ((1.0, 1.0), (2.0, 1.0), (1.0, 0.35))  # exponent and factor of the intensity; the picture itself first


def with_views(labels: LabelSet, amplify: str, light: str = "none") -> LabelSet:
    """Every sample in every view of ``amplify`` (as in training the generator): 1, 2 or 8 times as many samples.

    ``light``: "none" leaves the light as it is, "one" puts each view other than the picture itself into one of
    ``LIGHTS``, taking turns; "all" shows every view in all of them. The views of NAME are called NAME@1 ...;
    interpreters hold the views of a picture out together. Their origins are those of the picture, so they have to be
    inverted next. InputError where oblong pictures should be turned.
    """
    if amplify not in VIEWS:
        raise InputError(f"amplify {amplify!r}: expected one of {', '.join(VIEWS)}")
    if light not in ("none", "one", "all"):
        raise InputError(f"light {light!r}: expected none, one or all")
    if amplify == "dihedral" and len(labels) and labels.samples[0].mask.shape[0] != labels.samples[0].mask.shape[1]:
        raise InputError("amplify dihedral: quarter turns need square pictures; expected none or mirror")
    views = VIEWS[amplify]
    samples = []
    for i, sample in enumerate(labels):
        for k in range(len(views) * (len(LIGHTS) if light == "all" else 1)):
            lamp = {"none": 0, "one": (i + k) % len(LIGHTS) if k else 0, "all": k // len(views)}[light]
            name = f"{sample.name}@{k}" if k else sample.name
            samples.append(lit(view(sample, *views[k % len(views)]), *LIGHTS[lamp])._replace(name=name))
    return replace(labels, samples=tuple(samples))


def lit(sample: Sample, exponent: float, factor: float) -> Sample:
    """The sample with intensities factor * x ** exponent, x from 0 to 1."""
    if exponent == factor == 1:
        return sample
    image = 255 * factor * (sample.image / 255) ** exponent
    return sample._replace(image=image.round().clip(0, 255).astype(np.uint8))


def view(sample: Sample, mirrored: bool, turns: int) -> Sample:
    """The sample mirrored left to right, then turned counter-clockwise by ``turns`` quarters, with all its labels."""
    number = element(mirrored, turns)

    def seen(pixels: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(dihedral(pixels, number, (0, 1)))

    points = sample.keypoints
    if points is not None:
        moved = dihedral_points(points[:, :2], number, *sample.mask.shape)
        points = np.concatenate([moved, points[:, 2:]], 1)
    values = None if sample.values is None else seen(sample.values)
    return sample._replace(image=seen(sample.image), mask=seen(sample.mask), keypoints=points, values=values)
