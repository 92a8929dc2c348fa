"""Pictures of a dataset: image, mask laid over it, and uncertainty side by side."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int, UInt8
from PIL import Image, ImageDraw, ImageFont

from labelfactory.errors import InputError
from labelfactory.palette import OKABE_ITO, color_table, heat, laid_over
from labelfactory.storage.arrays import ValueInfo
from labelfactory.storage.dataset import Dataset, open_dataset
from labelfactory.storage.spec import DatasetSpec
from labelfactory.whole_files import whole_file

INK, PAPER, FAINT = (24, 27, 31), (255, 255, 255), (110, 116, 124)
OVERLAY = 0.5
VALUES_SHOWN = 4  # channels; more would leave no room for the rest
TILE = 128  # smaller images are enlarged by whole factors to at least this
_RINGS = [OKABE_ITO[i] for i in (4, 2, 7, 3, 6)]


def overlay(
    spec: DatasetSpec, image: UInt8[np.ndarray, "y x channel"], mask: UInt8[np.ndarray, "y x"]
) -> UInt8[np.ndarray, "y x 3"]:
    """The image with its classes' colours over it; background (the first stuff class) and ignored pixels stay plain."""
    tinted = [class_id for class_id, info in enumerate(spec.classes) if info.thing or class_id > 0]
    colors = color_table([info.color for info in spec.classes])
    return laid_over(image, colors[mask], OVERLAY * np.isin(mask, tinted)).astype(np.uint8)


@dataclass(frozen=True)
class Section:
    """A headline and the samples under it, by their index in the store."""

    title: str
    samples: Sequence[int] | Int[np.ndarray, "n"]


def sections(dataset: Dataset, n: int) -> list[Section]:
    """The first ``n`` samples (chosen by nothing), and where there are enough the surest and the least sure."""
    scores = dataset.scores()
    kept = dataset.samples
    parts = [Section("First samples, chosen by nothing", kept[:n])]
    if dataset.spec.count >= 2 * n:
        order = np.argsort(scores, kind="stable")
        parts += [Section("Lowest uncertainty", order[:n]), Section("Highest uncertainty", order[::-1][:n])]
    return parts


def uncertainty_top(dataset: Dataset, parts: Sequence[Section]) -> float:
    """The uncertainty (nats) that is drawn brightest, one for all pictures: nearly the largest that they have."""
    samples = np.unique(np.concatenate([np.asarray(part.samples) for part in parts]))
    values = dataset.read("uncertainty", samples).astype(np.float32)
    measured = values[~np.isnan(values)]
    return max(0.01, float(np.quantile(measured, 0.998))) if measured.size else 0.01


def value_reach(dataset: Dataset, parts: Sequence[Section]) -> list[tuple[float, float]]:
    """From which to which value each channel is drawn, dark to bright, one for all pictures: what they hold."""
    samples = np.unique(np.concatenate([np.asarray(part.samples) for part in parts]))
    reach = []
    for values in _channels_read(dataset, samples):
        known = values[np.isfinite(values)].astype(np.float32)
        reach.append((float(known.min()), float(known.max())) if known.size else (0.0, 1.0))
    return reach


def shown_channels(spec: DatasetSpec) -> list[tuple[str, int, ValueInfo]]:
    """Array, place and description of each channel of values that pictures show beside the mask."""
    pictured = [a for a in spec.by_role("values") if a.dims[1:3] == ("y", "x") and a.channel_dim == 3]
    return [(a.name, k, info) for a in pictured for k, info in enumerate(a.channels)][:VALUES_SHOWN]


def _channels_read(dataset: Dataset, samples: Sequence[int] | Int[np.ndarray, "n"]) -> list[Float[np.ndarray, "n y x"]]:
    """What ``shown_channels`` names, each array read once."""
    shown = shown_channels(dataset.spec)
    arrays = {name: dataset.read(name, samples) for name in dict.fromkeys(name for name, *_ in shown)}
    return [arrays[name][..., channel] for name, channel, _ in shown]


def panels(spec: DatasetSpec, top: float, reach: Sequence[tuple[float, float]]) -> list[str]:
    """What the parts of each picture are, in words."""
    named = zip(shown_channels(spec), reach, strict=False)
    values = [
        f"{v.name} (black {low:.3g}, yellow {high:.3g}{' ' * bool(v.unit)}{v.unit})" for (*_, v), (low, high) in named
    ]
    return ["image", "classes laid over it", f"uncertainty (black 0, yellow {top:.2f} nats)", *values]


def triptychs(
    dataset: Dataset,
    samples: Sequence[int] | Int[np.ndarray, "n"],
    top: float,
    reach: Sequence[tuple[float, float]] = (),
) -> list[Image.Image]:
    """Image, overlay, uncertainty (``top`` is brightest) and the channels of values that ``reach`` has, enlarged."""
    spec = dataset.spec
    values = _channels_read(dataset, samples) if reach else []
    image, mask, uncertainty = (dataset.read(name, samples) for name in ("image", "mask", "uncertainty"))
    points = [dataset.read(array.name, samples) for array in spec.by_role("points")]
    factor = max(1, -(-TILE // spec.width))
    pictures = []
    for i in range(len(samples)):
        parts = [np.broadcast_to(image[i], (spec.height, spec.width, 3)), overlay(spec, image[i], mask[i])]
        parts.append(heat(uncertainty[i], 0.0, top))
        parts += [heat(value[i], low, high) for value, (low, high) in zip(values, reach, strict=True)]
        row = np.concatenate(parts, axis=1)
        pictures.append(
            Image.fromarray(row).resize((row.shape[1] * factor, row.shape[0] * factor), Image.Resampling.NEAREST)
        )
        for named in points:
            _rings(ImageDraw.Draw(pictures[-1]), named[i], factor)
    return pictures


def _rings(draw: ImageDraw.ImageDraw, points: Float[np.ndarray, "keypoints 3"], factor: int) -> None:
    """A ring around each keypoint, in colours of their own; the surer, the thicker."""
    for place, (x, y, confidence) in enumerate(points.tolist()):
        if np.isfinite([x, y]).all():
            box = (x * factor - 4, y * factor - 4, x * factor + 4, y * factor + 4)
            draw.ellipse(box, outline=_RINGS[place % len(_RINGS)], width=1 + round(2 * confidence))


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def contact_sheet(
    store: Dataset | str, path: str | os.PathLike[str], n: int = 16, storage_options: dict | None = None
) -> Path:
    """Writes a PNG: the first ``n`` kept samples, then the surest and the least sure, then what share each class has.

    ``store`` is a finished store's location or an open dataset. Raises InputError for ``n`` below 1 or a path that
    cannot be written.
    """
    if n < 1:
        raise InputError(f"{n} samples on a contact sheet: expected 1 or more")
    dataset = open_dataset(store, storage_options=storage_options) if isinstance(store, str) else store
    chosen = sections(dataset, n)
    top_nats, reach = uncertainty_top(dataset, chosen), value_reach(dataset, chosen)
    parts = [(section, triptychs(dataset, section.samples, top_nats, reach)) for section in chosen]
    scores = dataset.scores()
    width, height = parts[0][1][0].size
    columns, gap, line = max(1, min(4, n, 1800 // width)), 12, 18
    rows = sum(-(-len(pictures) // columns) for _, pictures in parts)
    sheet_width = max(640, gap + columns * (width + gap))
    sheet_height = 76 + len(parts) * 38 + rows * (height + line + gap) + 60 + 24 * len(dataset.spec.classes)
    sheet = Image.new("RGB", (sheet_width, sheet_height), PAPER)
    draw = ImageDraw.Draw(sheet)
    spec = dataset.spec
    draw.text((gap, 12), f"{spec.count:,} pairs of {spec.width} x {spec.height} px", fill=INK, font=_font(22))
    legend = f"each: {' | '.join(panels(spec, top_nats, reach))}"
    draw.text(
        (gap, 44),
        f"{spec.generator or 'generator ' + spec.generator_sha256[:12]}, seed {spec.seed}, {legend}",
        FAINT,
        _font(13),
    )
    y = 76
    for section, pictures in parts:
        draw.text((gap, y + 8), section.title, INK, _font(16))
        y += 38
        for i, picture in enumerate(pictures):
            x, top = gap + i % columns * (width + gap), y + i // columns * (height + line + gap)
            sheet.paste(picture, (x, top))
            sample = int(section.samples[i])
            draw.text((x, top + height + 2), f"{sample}   uncertainty {scores[sample]:.3f}", FAINT, _font(12))
        y += -(-len(pictures) // columns) * (height + line + gap)
    _class_bars(draw, dataset, (gap, y + 8), sheet_width - 2 * gap)
    return save_picture(sheet, path)


def class_shares(dataset: Dataset) -> Float[np.ndarray, "classes"]:
    """Every class's share of all labelled pixels, 0 to 1, from the commit records."""
    pixels = sum((np.array(record.class_pixels, np.float64) for record in dataset.records()), np.float64(0))
    return pixels / max(1.0, pixels.sum())


def _class_bars(draw: ImageDraw.ImageDraw, dataset: Dataset, corner: tuple[int, int], width: int) -> None:
    x, y = corner
    draw.text((x, y), "Share of all pixels by class", INK, _font(16))
    for info, share in zip(dataset.spec.classes, class_shares(dataset), strict=True):
        y += 24
        draw.rectangle((x, y + 4, x + 14, y + 18), fill=info.color, outline=FAINT)
        draw.text((x + 22, y + 3), f"{info.name}  {share:.1%}", INK, _font(13))
        draw.rectangle(
            (x + 220, y + 4, x + 220 + round((width - 220) * float(share)), y + 18), fill=info.color, outline=FAINT
        )


def save_picture(picture: Image.Image, path: str | os.PathLike[str]) -> Path:
    """Saves as PNG; a path that cannot be written is the caller's error, a full disk is not."""
    with whole_file(path) as file:
        picture.save(file, format="PNG", optimize=True)
    return Path(path)
