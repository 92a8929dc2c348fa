"""Cases side by side: image, labels, prediction and the difference; outlines of objects, boxes and key points."""

import io
import math
from collections.abc import Sequence

import numpy as np
from numpy import ndarray as Array
from PIL import Image, ImageDraw

from labelfactory.factory.evaluation.box_judge import around
from labelfactory.factory.evaluation.evaluation import Case
from labelfactory.factory.evaluation.instances import objects_of
from labelfactory.factory.evaluation.predicted import Boxes, Predicted
from labelfactory.factory.pairs.pairs import Pair
from labelfactory.interpreters.array_types import Float, Shaped, UInt8
from labelfactory.interpreters.classes import LabelClass, palette
from labelfactory.limits import IGNORE_INDEX
from labelfactory.masks import countable
from labelfactory.palette import OKABE_ITO, laid_over

RED = (220, 40, 40)
LINES = (*OKABE_ITO[1:], (255, 255, 255))  # outlines of objects next to each other differ
SURE = 0.3  # score from which boxes and key points are drawn


def cases_png(cases: Sequence[Case], classes: Sequence[LabelClass], score: str, height: int = 128) -> bytes:
    """One row a case: image, people's labels, prediction, and what differs, with the case's own score."""
    rows = [_case_row(case, classes, score, height) for case in cases]
    width = max((row.width for row in rows), default=1)
    sheet = Image.new("RGB", (width, sum(row.height for row in rows) or 1), "white")
    top = 0
    for row in rows:
        sheet.paste(row, (0, top))
        top += row.height
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    return buffer.getvalue()


def _case_row(
    case: Case, classes: Sequence[LabelClass], score: str, height: int, caption: int = 18, gap: int = 4
) -> Image.Image:
    tiles = [_rgb(case.pair.image), *_panels(case.pair, case.predicted, classes)]
    scale = height / case.pair.image.shape[0]
    size = (max(1, round(case.pair.image.shape[1] * scale)), height)
    row = Image.new("RGB", (len(tiles) * (size[0] + gap) - gap, height + caption), "white")
    for place, tile in enumerate(tiles):
        smooth = place == 0
        picture = Image.fromarray(tile).resize(size, Image.Resampling.BILINEAR if smooth else Image.Resampling.NEAREST)
        row.paste(picture, (place * (size[0] + gap), caption))
    name = case.name if len(case.name) <= 48 else case.name[:47] + "…"
    value = "–" if math.isnan(case.score) else f"{100 * case.score:.1f}"
    ImageDraw.Draw(row).text((2, 2), f"{name}   {score} {value}", fill="black")
    return row


def _panels(pair: Pair, predicted: Predicted, classes: Sequence[LabelClass]) -> list[UInt8[Array, "height width 3"]]:
    """Labels, prediction, and for masks where the two differ."""
    things, boundary = countable(classes)
    image = _rgb(pair.image)
    if predicted.keypoints is not None:
        truth = np.zeros_like(predicted.keypoints) if pair.keypoints is None else pair.keypoints
        return [with_points(image, truth, 0.5), with_points(image, predicted.keypoints, SURE)]
    if predicted.mask is None:
        own = around(objects_of(pair.mask, things, pair.instances, boundary=boundary))
        return [with_boxes(image, boxes, classes) for boxes in (own, predicted.boxes) if boxes is not None]
    colours = palette(classes)
    wrong = (pair.mask != predicted.mask) & (pair.mask != IGNORE_INDEX)
    different = (image * 0.5).astype(np.uint8)
    different[wrong] = RED
    if predicted.instances is None:
        return [colours[pair.mask], colours[predicted.mask], different]
    numbers = objects_of(pair.mask, things, pair.instances, boundary=boundary).ids
    return [with_outlines(image, numbers), with_outlines(image, predicted.instances), different]


def overlay(
    image: UInt8[Array, "height width channels"], mask: UInt8[Array, "height width"], classes: Sequence[LabelClass]
) -> UInt8[Array, "height width 3"]:
    """The classes' colours over the image; background (0) and unlabelled pixels stay as they are."""
    shown = (mask != 0) & (mask != IGNORE_INDEX)
    return laid_over(image, palette(classes)[mask], 0.45 * shown).astype(np.uint8)


def drawn(
    image: UInt8[Array, "height width channels"], predicted: Predicted, classes: Sequence[LabelClass]
) -> UInt8[Array, "height width 3"]:
    """Everything that a model says of an image, over the image."""
    out = _rgb(image).copy()
    if predicted.mask is not None:
        out = overlay(image, predicted.mask, classes)
    if predicted.instances is not None:
        out = with_outlines(out, predicted.instances)
    if predicted.boxes is not None:
        out = with_boxes(out, predicted.boxes, classes)
    return out if predicted.keypoints is None else with_points(out, predicted.keypoints, SURE)


def with_outlines(
    image: UInt8[Array, "height width 3"], numbers: Shaped[Array, "height width"]
) -> UInt8[Array, "height width 3"]:
    """Each object's outermost pixels in a colour of its own."""
    n = np.pad(numbers.astype(np.int64), 1, mode="edge")
    inner = n[1:-1, 1:-1]
    edge = (inner != n[:-2, 1:-1]) | (inner != n[2:, 1:-1]) | (inner != n[1:-1, :-2]) | (inner != n[1:-1, 2:])
    out, colours = image.copy(), np.array(LINES, np.uint8)
    shown = edge & (inner > 0)
    out[shown] = colours[inner[shown] % len(colours)]
    return out


def with_boxes(
    image: UInt8[Array, "height width 3"], boxes: Boxes, classes: Sequence[LabelClass]
) -> UInt8[Array, "height width 3"]:
    """Each sure box in its class's colour."""
    picture = Image.fromarray(image)
    draw, colours = ImageDraw.Draw(picture), palette(classes)
    for (x0, y0, x1, y1), label, score in zip(boxes.corners.tolist(), boxes.classes, boxes.scores, strict=True):
        if score >= SURE:
            draw.rectangle((x0, y0, max(x0, x1 - 1), max(y0, y1 - 1)), outline=tuple(colours[label].tolist()))
    return np.asarray(picture)


def with_points(
    image: UInt8[Array, "height width 3"], points: Float[Array, "points 3"], least: float
) -> UInt8[Array, "height width 3"]:
    """Each point as a dot, and the line through them in their order: the skeleton of a chain."""
    picture = Image.fromarray(image)
    draw, radius = ImageDraw.Draw(picture), max(1, round(max(image.shape[:2]) / 64))
    there = [(float(x), float(y)) for x, y, sure in points if sure >= least]
    if len(there) > 1:
        draw.line(there, fill=(200, 200, 200))
    for k, (x, y, sure) in enumerate(points.tolist()):
        if sure >= least:
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=LINES[k % len(LINES)])
    return np.asarray(picture)


def _rgb(image: UInt8[Array, "height width channels"]) -> UInt8[Array, "height width 3"]:
    return np.repeat(image, 3, 2) if image.shape[2] == 1 else image
