"""Pictures of an evaluation: confusion matrix, curves, and cases side by side."""

import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy import ndarray as Array
from PIL import Image, ImageDraw

from labelfactory.factory.evaluation.evaluation import Case, Evaluation
from labelfactory.factory.evaluation.instances import IOU_THRESHOLDS
from labelfactory.interpreters.array_types import Shaped, UInt8
from labelfactory.interpreters.classes import LabelClass, palette
from labelfactory.limits import IGNORE_INDEX
from labelfactory.palette import OKABE_ITO, laid_over

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


def image_scores_png(evaluation: Evaluation) -> bytes:
    """How the images' own mIoU are spread."""
    figure, axes = _figure(5.0, 3.0)
    values = np.sort(evaluation.image_miou[~np.isnan(evaluation.image_miou)])
    axes.plot(values, np.arange(1, len(values) + 1) / max(1, len(values)), color=BLUE, drawstyle="steps-post")
    axes.axvline(
        evaluation.overall["miou"].value, color=ORANGE, linestyle="--", linewidth=1, label="mIoU of all pixels"
    )
    axes.set(xlabel="mIoU of one image", ylabel="share of images at or below", xlim=(0, 1), ylim=(0, 1))
    axes.legend(frameon=False, loc="upper left")
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
    """Training loss and validation mIoU by step; None without history."""
    if len(history) < 2:
        return None
    figure, axes = _figure(5.0, 3.0)
    steps = [row["step"] for row in history]
    axes.plot(steps, [row["loss"] for row in history], color=BLUE)
    axes.set_xlabel("step")
    axes.set_ylabel("training loss", color=BLUE)
    axes.set_ylim(bottom=0)
    if all("miou" in row for row in history):
        right = axes.twinx()
        right.plot(steps, [row["miou"] for row in history], color=ORANGE)
        right.set_ylabel("validation mIoU", color=ORANGE)
    return _png(figure)


def cases_png(cases: Sequence[Case], classes: Sequence[LabelClass], height: int = 128) -> bytes:
    """One row a case: image, people's labels, prediction, and the pixels that differ (red) with the case's mIoU."""
    rows = [_case_row(case, classes, height) for case in cases]
    width = max((row.width for row in rows), default=1)
    sheet = Image.new("RGB", (width, sum(row.height for row in rows) or 1), "white")
    top = 0
    for row in rows:
        sheet.paste(row, (0, top))
        top += row.height
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    return buffer.getvalue()


def _case_row(case: Case, classes: Sequence[LabelClass], height: int, caption: int = 18, gap: int = 4) -> Image.Image:
    colours = palette(classes)
    grey = np.repeat(case.image, 3, 2) if case.image.shape[2] == 1 else case.image
    wrong = (case.truth != case.prediction) & (case.truth != IGNORE_INDEX)
    different = (grey * 0.5).astype(np.uint8)
    different[wrong] = (220, 40, 40)
    tiles = [grey, colours[case.truth], colours[case.prediction], different]
    scale = height / case.image.shape[0]
    size = (max(1, round(case.image.shape[1] * scale)), height)
    row = Image.new("RGB", (4 * size[0] + 3 * gap, height + caption), "white")
    for place, tile in enumerate(tiles):
        smooth = place == 0
        picture = Image.fromarray(tile).resize(size, Image.Resampling.BILINEAR if smooth else Image.Resampling.NEAREST)
        row.paste(picture, (place * (size[0] + gap), caption))
    name = case.name if len(case.name) <= 48 else case.name[:47] + "…"
    score = "–" if math.isnan(case.miou) else f"{100 * case.miou:.1f}"
    ImageDraw.Draw(row).text((2, 2), f"{name}   mIoU {score}", fill="black")
    return row


def overlay(
    image: UInt8[Array, "height width channels"], mask: UInt8[Array, "height width"], classes: Sequence[LabelClass]
) -> UInt8[Array, "height width 3"]:
    """The classes' colours over the image; background (0) and unlabelled pixels stay as they are."""
    shown = (mask != 0) & (mask != IGNORE_INDEX)
    return laid_over(image, palette(classes)[mask], 0.45 * shown).astype(np.uint8)


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
