"""Continuous labels from files: npy, 16-bit PNG and TIFF with a number per pixel.

All of a source is read and checked before anything is returned, so nothing is ever half imported.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from labelfactory.errors import InputError
from labelfactory.interpreters.array_types import Bool, Float
from labelfactory.interpreters.channels import ValueChannel, check_channels
from labelfactory.interpreters.formats.names import image_names, sample_finder
from labelfactory.interpreters.formats.source import Source, opened
from labelfactory.interpreters.labelset import LabelSet
from labelfactory.interpreters.pictures import one_line, open_picture

SUFFIXES = (".npy", ".png", ".tif", ".tiff")
NUMBERS = ("L", "I;16", "I;16L", "I;16B", "I", "F")  # Pillow's modes of one number per pixel


@dataclass(frozen=True)
class WantedChannel:
    """What somebody says of a channel; None: as the label set has it, else no unit and the range that the files use."""

    name: str
    unit: str | None = None
    range: tuple[float, float] | None = None

    @classmethod
    def parse(cls, text: str) -> "WantedChannel":
        """``NAME``, ``NAME:UNIT`` or ``NAME:UNIT:LOW:HIGH``."""
        name, *rest = text.split(":")
        try:
            unit = rest[0] if rest else None
            if len(rest) not in (0, 1, 3) or not name.strip():
                raise ValueError
            return cls(name.strip(), unit, (float(rest[1]), float(rest[2])) if len(rest) == 3 else None)
        except ValueError:
            raise InputError(
                f"channel {text!r}: expected NAME, NAME:UNIT or NAME:UNIT:LOW:HIGH, like depth:m:0:80"
            ) from None


@dataclass(frozen=True)
class Reading:
    """How stored numbers become values: scale * stored + offset, and not labelled where stored is ``no_data``."""

    scale: float = 1.0
    offset: float = 0.0
    no_data: float | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.scale) and math.isfinite(self.offset)) or self.scale == 0:
            raise InputError(f"scale {self.scale:g}, offset {self.offset:g}: expected finite numbers, the scale not 0")


@dataclass
class ValuesReport:
    """What an import did; ``lines()`` tells it to a person. ``pixels``: labelled ones of each channel, of ``total``."""

    labelled: list[str] = field(default_factory=list)
    channels: tuple[ValueChannel, ...] = ()
    pixels: dict[str, int] = field(default_factory=dict)
    total: dict[str, int] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        out = [f"values: {len(self.labelled)} samples labelled"]
        for c in self.channels:
            if c.name in self.total:
                out.append(f"  {c}: {self.pixels[c.name] / self.total[c.name]:.1%} of their pixels")
        return out + [f"  skipped: {s}" for s in self.skipped] + [f"  note: {n}" for n in self.notes]


def import_values(
    labels: LabelSet,
    source: Path,
    channels: Sequence[WantedChannel] = (),
    reading: Reading | None = None,
    *,
    valid: Path | None = None,
    skip_unmatched: bool = False,
) -> tuple[LabelSet, ValuesReport]:
    """The label set with the values in ``source``; samples and channels that the source does not have keep theirs.

    Arguments:
        source: a folder (or a zip of one) of files called like the samples: npy [height, width] or [height, width,
            channels], PNG or TIFF of one number per pixel. Several channels may also have a folder each. Or one file.
        channels: which ones the source holds, in its order; none: those that the label set has.
        valid: folder of 8-bit pictures called like the samples; not labelled where they are 0.
        skip_unmatched: leave files of unknown images out instead of refusing.

    Raises:
        InputError: naming file and reason.
    """
    wanted = list(channels) or [WantedChannel(c.name) for c in labels.values]
    if not wanted:
        raise InputError("channel: the label set has none yet; name what the numbers are, like depth:m:0:80")
    if len({w.name for w in wanted}) < len(wanted):
        raise InputError(f"channel: {', '.join(w.name for w in wanted)} are not all different")
    report = ValuesReport()
    with opened(source) as files:
        found = _read(files, wanted, reading or Reading(), labels, report, skip_unmatched)
    for name, parts in found.items():
        if valid is not None:
            hole = ~_read_valid(valid, name)
            for part in parts.values():
                if hole.shape != part.shape:
                    raise InputError(f"{valid}: the picture of {name!r} is {_size(hole)}, the sample {_size(part)}")
                part[hole] = np.nan
        if all(np.isnan(part).all() for part in parts.values()):
            report.notes.append(f"{name}: no pixel is labelled")
    merged = _channels(labels, wanted, found)
    samples = []
    for sample in labels:
        new = found.get(sample.name, {})
        if new or (sample.values is not None and len(merged) > sample.values.shape[2]):
            values = np.full((*sample.mask.shape, len(merged)), np.nan, np.float32)
            if sample.values is not None:
                values[..., : sample.values.shape[2]] = sample.values
            for k, channel in enumerate(merged):
                if channel.name in new:
                    values[..., k] = new[channel.name]
                    known = int((~np.isnan(values[..., k])).sum())
                    report.pixels[channel.name] = report.pixels.get(channel.name, 0) + known
                    report.total[channel.name] = report.total.get(channel.name, 0) + values[..., k].size
            sample = sample._replace(values=values)
        samples.append(sample)
    report.labelled, report.channels = list(found), merged
    return replace(labels, samples=tuple(samples), values=merged), report


def _read(
    source: Source,
    wanted: Sequence[WantedChannel],
    reading: Reading,
    labels: LabelSet,
    report: ValuesReport,
    skip: bool,
) -> dict[str, dict[str, Float[np.ndarray, "height width"]]]:
    """Values by sample and channel; NaN where not labelled."""
    root, find = source.path, sample_finder(labels)
    folders = [w.name for w in wanted if root.is_dir() and source.folder(w.name)]
    if folders and len(folders) < len(wanted):
        missing = next(w.name for w in wanted if w.name not in folders)
        raise InputError(f"{root / missing}: no such folder; expected one for each channel, or none at all")
    samples = {s.name: s for s in labels}
    found: dict[str, dict[str, np.ndarray]] = {}
    for names, under in [([n], n) for n in folders] or [([w.name for w in wanted], "")]:
        paths = source.files(*SUFFIXES, under=under)
        if not paths:
            raise InputError(f"{root / under}: has no values in it; expected {', '.join(SUFFIXES)}")
        for path in paths:
            name = find(image_names(path.name))
            if name is None:
                if not skip:
                    raise InputError(
                        f"{path}: no sample is called {path.stem!r}; rename it after its image or allow skipping of "
                        "unmatched files"
                    )
                report.skipped.append(source.said(str(path)))
                continue
            values = _read_file(path, len(names), reading)
            size = samples[name].mask.shape
            if values.shape[:2] != size:
                raise InputError(
                    f"{path}: is for an image of {_size(values)}; sample {name!r} has {size[1]} x {size[0]}"
                )
            parts = found.setdefault(name, {})
            if names[0] in parts:
                raise InputError(f"{path}: sample {name!r} has a file of another kind as well; leave one of them")
            parts |= {name: values[..., k].copy() for k, name in enumerate(names)}
    if not found:
        raise InputError(f"{root}: none of its files belongs to a sample; they have to be called like the images")
    return found


def _read_file(path: Path, channels: int, reading: Reading) -> Float[np.ndarray, "height width channels"]:
    stored = _read_npy(path) if path.suffix.lower() == ".npy" else _read_picture(path)
    if stored.ndim == 2:
        stored = stored[..., None]
    if stored.ndim != 3 or stored.shape[2] != channels or stored.size == 0:
        raise InputError(f"{path}: has numbers of shape {stored.shape}; expected {channels} a pixel")
    if stored.size > 2**31:
        raise InputError(f"{path}: has {stored.size} numbers; no sample is as large")
    with np.errstate(over="ignore", invalid="ignore"):
        values = (stored.astype(np.float64) * reading.scale + reading.offset).astype(np.float32)
    if reading.no_data is not None:
        values[stored == reading.no_data] = np.nan
    if np.isinf(values).any():
        raise InputError(f"{path}: has values that are infinite or beyond a float; write NaN where nothing is labelled")
    return values


def _read_npy(path: Path) -> np.ndarray:
    try:
        array = np.load(path, allow_pickle=False, mmap_mode="r")  # mapped: a header's shape may be beyond the file
    except Exception as error:  # whatever NumPy meets in a broken file
        raise InputError(f"{path}: cannot be read as an array ({one_line(error)})") from None
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
        raise InputError(f"{path}: holds {getattr(array, 'dtype', 'several arrays')}; expected one array of numbers")
    return array


def _read_picture(path: Path) -> np.ndarray:
    image = open_picture(path)
    if image.mode not in NUMBERS:
        raise InputError(
            f"{path}: a picture of mode {image.mode}; expected one number per pixel (16-bit grey, float32)"
        )
    return np.array(image)


def _read_valid(folder: Path, name: str) -> Bool[np.ndarray, "height width"]:
    image = open_picture(Source(folder).file(f"{name}.png") or folder / f"{name}.png")
    if image.mode not in ("1", "L", "P"):
        raise InputError(f"{folder / name}.png: a picture of mode {image.mode}; expected 8-bit grey, 0: not labelled")
    return np.array(image) != 0


def _channels(
    labels: LabelSet, wanted: Sequence[WantedChannel], found: dict[str, dict[str, np.ndarray]]
) -> tuple[ValueChannel, ...]:
    """The set's channels, then new ones; what is said of one that exists replaces what was known."""
    merged = {c.name: c for c in labels.values}
    for w in wanted:
        known = merged.get(w.name)
        unit = w.unit if w.unit is not None else known.unit if known else ""
        used = [parts[w.name] for parts in found.values() if w.name in parts]
        low, high = w.range or ((known.low, known.high) if known else _reach(used))
        merged[w.name] = ValueChannel(w.name, unit, low, high)
        check_channels([merged[w.name]], "channel")
        for name, parts in found.items():
            values = parts.get(w.name, np.empty(0, np.float32))
            beyond = (values < np.float32(low)) | (values > np.float32(high))
            if beyond.any():
                place = ", ".join(f"{axis} {i}" for axis, i in zip("yx", np.argwhere(beyond)[0], strict=False))
                raise InputError(
                    f"{name}: {w.name} is {values[beyond][0]:g} at {place}, outside {merged[w.name]}; give scale, "
                    "no-data value or another range"
                )
    return tuple(merged.values())


def _reach(parts: list[np.ndarray]) -> tuple[float, float]:
    known = [p[~np.isnan(p)] for p in parts]
    known = [p for p in known if p.size]
    if not known:
        return 0.0, 1.0
    low, high = min(float(p.min()) for p in known), max(float(p.max()) for p in known)
    return low, high if high > low else low + 1.0


def _size(array: np.ndarray) -> str:
    return f"{array.shape[1]} x {array.shape[0]}"
