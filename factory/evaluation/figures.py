"""Pictures of an evaluation: confusion matrix and curves."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy import ndarray as Array

from labelfactory.factory.evaluation.evaluation import Evaluation
from labelfactory.factory.evaluation.instances import IOU_THRESHOLDS
from labelfactory.factory.evaluation.names import SCORES
from labelfactory.interpreters.array_types import Shaped
from labelfactory.palette import OKABE_ITO

BLUE, ORANGE = (f"#{r:02x}{g:02x}{b:02x}" for r, g, b in (OKABE_ITO[5], OKABE_ITO[6]))
MAX_NAMED = 20  # more classes than this are drawn without numbers in the cells


def confusion_png(confusion: Shaped[Array, "classes classes"], names: Sequence[str]) -> bytes:
    """Rows (what people labelled) in per cent of their pixels."""
    figure, axes = _figure(max(3.6, 0.9 * len(names) + 2), max(3.0, 0.8 * len(names) + 1.4))
    rows = confusion.sum(1, keepdims=True)
    share = np.divide(confusion, rows, out=np.zeros(confusion.shape), where=rows > 0)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(names)), names, rotation=30, ha="right")
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("predicted")
    axes.set_ylabel("labelled by people")
    if len(names) <= MAX_NAMED:
        for i in range(len(names)):
            for j in range(len(names)):
                text = "–" if rows[i, 0] == 0 else f"{100 * share[i, j]:.1f}"
                axes.text(j, i, text, ha="center", va="center", color="white" if share[i, j] > 0.5 else "black")
    return _png(figure)


def image_scores_png(evaluation: Evaluation, name: str) -> bytes:
    """How the images' own scores are spread; ``name`` is the score's."""
    figure, axes = _figure(5.0, 3.0)
    values = np.sort(evaluation.image_scores[~np.isnan(evaluation.image_scores)])
    axes.plot(values, np.arange(1, len(values) + 1) / max(1, len(values)), color=BLUE, drawstyle="steps-post")
    whole = evaluation.overall.get(evaluation.ranked_by)
    if whole is not None:
        axes.axvline(whole.value, color=ORANGE, linestyle="--", linewidth=1, label=f"{name} of all images")
        axes.legend(frameon=False, loc="upper left")
    axes.set(xlabel=f"{name} of one image", ylabel="share of images at or below", xlim=(0, 1), ylim=(0, 1))
    return _png(figure)


def ap_png(evaluation: Evaluation) -> bytes | None:
    """Average precision against the overlap that counts as found; None without objects."""
    if not evaluation.ap_by_threshold:
        return None
    figure, axes = _figure(5.0, 3.0)
    for name, values in evaluation.ap_by_threshold.items():
        axes.plot(IOU_THRESHOLDS, values, marker="o", markersize=3, label=name)
    axes.set(xlabel="IoU threshold", ylabel="average precision", ylim=(0, 1))
    axes.legend(frameon=False)
    return _png(figure)


def training_png(history: Sequence[dict[str, Any]]) -> bytes | None:
    """Training loss and the validation's score by step; None without history."""
    if len(history) < 2:
        return None
    figure, axes = _figure(5.0, 3.0)
    steps = [row["step"] for row in history]
    axes.plot(steps, [row["loss"] for row in history], color=BLUE)
    axes.set_xlabel("step")
    axes.set_ylabel("training loss", color=BLUE)
    axes.set_ylim(bottom=0)
    scores = [key for key in history[0] if key in SCORES and all(key in row for row in history)]
    if scores:
        right = axes.twinx()
        right.plot(steps, [row[scores[0]] for row in history], color=ORANGE)
        right.set_ylabel(f"validation {SCORES[scores[0]]}", color=ORANGE)
    return _png(figure)


def _figure(width: float, height: float) -> tuple[Any, Any]:
    from matplotlib.figure import Figure  # without pyplot: no global state, no display

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure, axes


def _png(figure: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()
