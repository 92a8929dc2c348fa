"""More labels from the same drawing: every mirror image and turn of a labelled picture is labelled too, in any light.

A generator's features do not turn with the image, so that each view, inverted, teaches an interpreter something new;
views in other light teach it not to go by brightness where a few pictures make that look safe.
"""

from dataclasses import replace
from itertools import product

import numpy as np

from labelfactory.errors import InputError
from labelfactory.factory.amplify import AMPLIFY
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
    """The sample mirrored left to right, then turned counter-clockwise by so many quarters, with all its labels."""
    image, mask, points, values = sample.image, sample.mask, sample.keypoints, sample.values
    if points is not None:
        points = points.copy()
    if mirrored:
        image, mask = image[:, ::-1], mask[:, ::-1]
        values = None if values is None else values[:, ::-1]
        if points is not None:
            points[:, 0] = image.shape[1] - points[:, 0]
    for _ in range(turns):
        if points is not None:
            points[:, :2] = np.stack([points[:, 1], image.shape[1] - points[:, 0]], 1)
        image, mask = np.rot90(image), np.rot90(mask)
    values = None if values is None else np.ascontiguousarray(np.rot90(values, turns))
    image, mask = np.ascontiguousarray(image), np.ascontiguousarray(mask)
    return sample._replace(image=image, mask=mask, keypoints=points, values=values)
