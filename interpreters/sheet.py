"""Contact sheets: what a person would rather look at than read about."""

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from labelfactory.interpreters.array_types import UInt8
from labelfactory.interpreters.channels import ValueChannel
from labelfactory.interpreters.classes import LabelClass, palette
from labelfactory.interpreters.labelset import Sample
from labelfactory.limits import IGNORE_INDEX
from labelfactory.palette import IGNORE_COLOR, heat, laid_over

CELL = 160  # pixels a picture is shown with, about
GAP = 6
PAPER, INK = (250, 250, 250), (30, 30, 30)


def contact_sheet(
    samples: Sequence[Sample], classes: Sequence[LabelClass], columns: int = 0, masks: bool = True
) -> Image.Image:
    """Every sample's picture with its name; with ``masks`` beside it the labels laid over it, and a key of the classes.

    columns: samples a row; 0 chooses about a square. Pictures are scaled by whole numbers, so that pixels stay pixels.
    """
    rows = []
    for sample in samples:
        rgb = np.broadcast_to(sample.image, (*sample.mask.shape, 3))
        rows.append([rgb, overlay(rgb, sample.mask, classes)] if masks else [rgb])
    return _grid(rows, [s.name for s in samples], columns, classes if masks else ())


def value_sheet(samples: Sequence[Sample], channels: Sequence[ValueChannel], columns: int = 0) -> Image.Image:
    """Every sample that has values: its picture, and beside it each channel from dark to bright.

    Dark is the lowest value that any sample has, bright the highest; the last line names them. Pixels that are not
    labelled are grey.
    """
    shown = [s for s in samples if s.values is not None]
    values = [s.values for s in shown if s.values is not None]
    reach, key = [], []
    for k, channel in enumerate(channels):
        known = np.concatenate([v[..., k][~np.isnan(v[..., k])] for v in values])
        low, high = (float(known.min()), float(known.max())) if known.size else (channel.low, channel.high)
        reach.append((low, max(high, low + 1e-6)))
        key.append(f"{channel.name}: dark {low:.4g}, bright {high:.4g} {channel.unit}".rstrip())
    rows = []
    for sample, own in zip(shown, values, strict=True):
        rgb = np.broadcast_to(sample.image, (*sample.mask.shape, 3))
        rows.append([rgb, *(heat(own[..., k], *ends, IGNORE_COLOR) for k, ends in enumerate(reach))])
    sheet = _grid(rows, [s.name for s in shown], columns, ())
    told = Image.new("RGB", (sheet.width, sheet.height + 20), PAPER)
    told.paste(sheet)
    ImageDraw.Draw(told).text((GAP, sheet.height + 2), "; ".join(key), fill=INK)
    return told


def comparison_sheet(
    left: Sequence[UInt8[np.ndarray, "height width channels"]],
    right: Sequence[UInt8[np.ndarray, "height width channels"]],
    captions: Sequence[str],
    columns: int = 0,
) -> Image.Image:
    """Pairs of pictures side by side, such as photographs and their reconstructions, with a caption each."""
    pairs = zip(left, right, strict=True)
    return _grid([[np.broadcast_to(p, (*p.shape[:2], 3)) for p in pair] for pair in pairs], captions, columns, ())


def _grid(
    cells: Sequence[Sequence[np.ndarray]], captions: Sequence[str], columns: int, classes: Sequence[LabelClass]
) -> Image.Image:
    height, width, _ = cells[0][0].shape
    scale, shrink = max(1, CELL // max(height, width)), max(1, math.ceil(max(height, width) / (2 * CELL)))
    size = (width * scale // shrink, height * scale // shrink)
    views = len(cells[0])
    cell = (size[0] * views + (GAP // 2) * (views - 1), size[1] + 14)
    columns = columns or max(1, round(math.sqrt(len(cells) * (cell[1] + GAP) / (cell[0] + GAP) * 1.6)))
    rows = math.ceil(len(cells) / columns)
    key = 22 if classes else 0
    sheet = Image.new("RGB", (columns * (cell[0] + GAP) + GAP, rows * (cell[1] + GAP) + GAP + key), PAPER)
    draw = ImageDraw.Draw(sheet)
    for i, (pictures, caption) in enumerate(zip(cells, captions, strict=True)):
        x, y = GAP + i % columns * (cell[0] + GAP), GAP + i // columns * (cell[1] + GAP)
        for k, picture in enumerate(pictures):
            view = Image.fromarray(np.ascontiguousarray(picture)).resize(size, Image.Resampling.NEAREST)
            sheet.paste(view, (x + k * (size[0] + GAP // 2), y))
        draw.text((x, y + size[1] + 1), caption[: cell[0] // 6], fill=INK)
    if classes:
        _key(draw, classes, GAP, sheet.height - key)
    return sheet


def overlay(
    rgb: UInt8[np.ndarray, "height width 3"], mask: UInt8[np.ndarray, "height width"], classes: Sequence[LabelClass]
) -> UInt8[np.ndarray, "height width 3"]:
    """Labels over a picture: class 0 stays as it is, others are tinted and outlined, unlabelled pixels hatched grey."""
    alpha = np.where(mask == 0, 0.0, 0.4)
    edge = np.zeros(mask.shape, dtype=bool)
    edge[1:] |= mask[1:] != mask[:-1]
    edge[:, 1:] |= mask[:, 1:] != mask[:, :-1]
    alpha[edge & (mask != 0)] = 0.9
    y, x = np.indices(mask.shape)
    alpha[mask == IGNORE_INDEX] = np.where((x + y) % 8 < 2, 0.7, 0.2)[mask == IGNORE_INDEX]
    return laid_over(rgb, palette(classes)[mask], alpha).round().astype(np.uint8)


def _key(draw: ImageDraw.ImageDraw, classes: Sequence[LabelClass], x: int, y: int) -> None:
    for c in classes:
        draw.rectangle((x, y + 3, x + 10, y + 13), fill=c.color, outline=INK)
        draw.text((x + 14, y + 2), c.name, fill=INK)
        x += 14 + round(draw.textlength(c.name)) + 12
