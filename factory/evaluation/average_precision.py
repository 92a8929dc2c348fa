"""Average precision in the table: no sum over images, so that its interval costs a pass over all detections a draw."""

import math
from collections.abc import Sequence

import numpy as np
from numpy import ndarray as Array

from labelfactory.factory.evaluation.bootstrap import resampled_sums
from labelfactory.factory.evaluation.instances import Matches, average_precision
from labelfactory.factory.evaluation.judge import Score, Table, nanmean
from labelfactory.interpreters.array_types import Float

REPLICATES = 400
FEWEST = 20  # draws that an interval is read from
KINDS = {"ap": slice(None), "ap50": slice(0, 1), "ap75": slice(5, 6)}  # of instances.IOU_THRESHOLDS


def write_average_precision(
    table: Table, matches: Sequence[Matches], things: Sequence[int], prefix: str = ""
) -> Float[Array, "things thresholds"]:
    """Writes AP, AP50 and AP75 into the table, with intervals over images (or whole groups); returns AP itself."""
    ap = average_precision(matches, things)
    count = min(REPLICATES, table.replicates)
    drawn = np.full((1, *ap.shape), np.nan)
    if count >= FEWEST and len(matches):
        drawn = average_precision(matches, things, resampled_sums(np.eye(len(matches)), table.groups, count))
    for name, part in KINDS.items():
        values, spread = ap[:, part].mean(1), drawn[..., part].mean(-1)
        column = [Score(math.nan)] * len(table.classes)
        for place, i in enumerate(things):
            column[i] = Score(float(values[place]), *_range(spread[:, place]))
        table.per_class[prefix + name] = column
        if not np.isnan(values).all():
            table.overall[prefix + name] = Score(float(nanmean(values)), *_range(nanmean(spread)))
    return ap


def _range(values: Float[Array, "replicates"]) -> tuple[float, float]:
    some = values[~np.isnan(values)]
    if some.size < FEWEST:
        return math.nan, math.nan
    return float(np.percentile(some, 2.5)), float(np.percentile(some, 97.5))
