"""What a restyled store says of its labels' fit: drift by class before, after and after repair, and what was done."""

from typing import Any, NamedTuple

import numpy as np
from numpy import ndarray as Array

from labelfactory.array_types import Float
from labelfactory.factory.restyle.preparing import STATES
from labelfactory.factory.restyle.repair import STATES as REPAIRS
from labelfactory.storage import open_dataset

BLOCK = 4096


class DriftReport(NamedTuple):
    """Medians over all pairs, in pixels; rows are classes, then "all"; columns are ``preparing.STATES``."""

    names: tuple[str, ...]
    medians: Float[Array, "rows states"]
    repairs: dict[str, int]

    def lines(self) -> list[str]:
        """For a person at a terminal."""
        head = f"{'drift of labels, median px':<28}" + "".join(f"{state:>10}" for state in STATES)
        rows = [
            f"{name:<28}" + "".join(f"{'-' if np.isnan(v) else f'{v:.2f}':>10}" for v in row)
            for name, row in zip(self.names, self.medians.tolist(), strict=True)
        ]
        told = ", ".join(f"{number} {name}" for name, number in self.repairs.items() if number)
        return [head, *rows, f"masks: {told}"]

    def markdown(self) -> str:
        """For Prefect's pages."""
        head = "| drift, median px | " + " | ".join(STATES) + " |\n|---|" + "---:|" * len(STATES)
        rows = [
            f"| {name} | " + " | ".join("–" if np.isnan(v) else f"{v:.2f}" for v in row) + " |"
            for name, row in zip(self.names, self.medians.tolist(), strict=True)
        ]
        return "\n".join([head, *rows]) + "\n\n" + self.lines()[-1]


def drift_report(uri: str, storage_options: dict[str, Any] | None = None) -> DriftReport:
    """Of all pairs of a finished store that ``factory restyle`` made, those that are not kept among them."""
    dataset = open_dataset(uri, fields=("drift",), keep=False, storage_options=storage_options)
    count = dataset.spec.count
    places = [np.arange(start, min(start + BLOCK, count)) for start in range(0, count, BLOCK)]
    by_class = np.concatenate([dataset.read("drift", some) for some in places])
    pairs = np.concatenate([dataset.read("pair_drift", some) for some in places])
    done = np.concatenate([dataset.read("repair", some) for some in places])
    table = np.concatenate([by_class, pairs[:, None]], 1)  # (pairs, classes and all, states)
    medians = np.full(table.shape[1:], np.nan)
    for row, column in np.ndindex(*medians.shape):
        known = table[np.isfinite(table[:, row, column]), row, column]
        if known.size:
            medians[row, column] = np.median(known)
    names = (*(c.name for c in dataset.spec.classes), "all")
    return DriftReport(names, medians, {name: int((done == number).sum()) for number, name in REPAIRS.items()})
