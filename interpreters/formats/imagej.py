"""ImageJ's regions of interest: ``.roi`` files, and ``RoiSet.zip`` files of them, one an image; read by roifile.

Facts: https://imagej.net/ij/developer/source/ij/io/RoiDecoder.java.html. Coordinates are pixels' corners, as ours are.
"""

import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from labelfactory.errors import InputError
from labelfactory.interpreters.checked_text import read_bytes
from labelfactory.interpreters.formats.drawing import (
    FAR,
    Drawing,
    Ellipse,
    Keypoint,
    NoArea,
    Polygons,
    Region,
    Shape,
    outline,
)
from labelfactory.interpreters.formats.format import Format
from labelfactory.interpreters.formats.names import image_names
from labelfactory.interpreters.formats.source import Source
from labelfactory.interpreters.labelset import LabelSet
from labelfactory.interpreters.pictures import one_line

if TYPE_CHECKING:
    from roifile import ImagejRoi

NO_LABEL = "roi"
"""The label of regions with the name that ImageJ makes up (``0012-0034``) and without a group."""
MAX_ROI = 1 << 26  # bytes of one region, unpacked
_MADE_UP = re.compile(r"^[\d\s-]*$")
_NUMBERED = re.compile(r"[\s_.:#-]?\(?\d+\)?$")
_SET = re.compile(r"[\s_-]*roi[\s_-]*set[\s_-]*|[\s_-]+rois?$|^rois?[\s_-]+", re.IGNORECASE)


class ImageJ(Format):
    """ImageJ's and Fiji's regions; a region's name is its label (``nucleus-3`` is ``nucleus``)."""

    title = "ImageJ's .roi files or RoiSet.zip"

    def recognises(self, source: Source) -> str | None:
        """The suffix, and zips that hold such files."""
        for path in source.files(".roi", deep=True):
            return f"has {path.name}"
        for path in source.files(".zip", deep=True):
            if _members(path):
                return f"{path.name} holds .roi files"
        return None

    def read(self, source: Source, labels: LabelSet, mapping: Mapping[str, str]) -> Iterator[Drawing]:
        """A drawing an image: what lies in the zip or folder called like it, or the .roi file called like it."""
        samples = {s.name for s in labels}
        wanted = {*(n.casefold() for n in labels.class_names), *(m.casefold() for m in mapping), *labels.keypoints}
        found: dict[str, tuple[tuple[str, ...], list[tuple[str, bytes]]]] = {}

        def add(place: str, container: str, name: str, data: bytes) -> None:
            alone = image_names(name)
            key = place if samples.isdisjoint(alone) else f"{place}/{name}"
            names = _container_names(container) if key == place else alone
            found.setdefault(key, (names, []))[1].append((f"{place}/{name}", data))

        for path in source.files(".roi", deep=True):
            inside = source.path.is_dir() and path.parent == source.path
            container = source.given.name if inside else f"{path.parent.name}.roi"
            add(str(path.parent), container, path.name, read_bytes(path))
        for path in source.files(".zip", deep=True):
            for name, data in _unpacked(path):
                add(str(path), path.name, name, data)
        for place, (names, regions) in found.items():
            drawing = Drawing(names, place)
            if len(samples) == 1 and samples.isdisjoint(names):
                drawing.names = tuple(samples)
                drawing.notes.append(f"{place}: is not called like an image, taken for the only one")
            for where, data in regions:
                _add(drawing, _parsed(data, where), wanted, samples, where)
            yield drawing


def _container_names(name: str) -> tuple[str, ...]:
    """Names of the image whose regions a zip or folder holds: ``cat_RoiSet.zip`` is of ``cat``."""
    names = image_names(name)
    return tuple(dict.fromkeys(n for n in (*names, *(_SET.sub("", n) for n in names)) if n))


def _members(path: Path) -> list[zipfile.ZipInfo]:
    try:
        with zipfile.ZipFile(path) as archive:
            inside = [i for i in archive.infolist() if PurePosixPath(i.filename).suffix.lower() == ".roi"]
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError):
        return []
    return [i for i in inside if not i.filename.startswith("__MACOSX/")]


def _unpacked(path: Path) -> Iterator[tuple[str, bytes]]:
    for info in _members(path):
        if info.file_size > MAX_ROI:
            raise InputError(f"{path}: {info.filename} is larger than {MAX_ROI >> 20} MiB; no region is")
        try:
            with zipfile.ZipFile(path) as archive:
                data = archive.read(info)
        except Exception as error:  # whatever a broken archive makes the unpacking raise
            raise InputError(f"{path}: {info.filename} cannot be unpacked ({one_line(error)})") from None
        yield PurePosixPath(info.filename).name, data


def _parsed(data: bytes, where: str) -> "ImagejRoi":
    from roifile import ImagejRoi

    try:
        roi = ImagejRoi.frombytes(data)
    except Exception as error:  # whatever roifile meets in a broken file
        raise InputError(f"{where}: is not a region of ImageJ ({type(error).__name__}: {one_line(error)})") from None
    return roi


def _label(roi: "ImagejRoi", wanted: set[str], samples: set[str], where: str) -> str:
    name = (roi.name or PurePosixPath(where).stem).strip()
    plain = _NUMBERED.sub("", name)
    if name.casefold() in wanted or name in wanted:
        return name
    if _MADE_UP.match(name) or name in samples:
        return f"group {roi.group}" if roi.group else NO_LABEL
    return plain or name


def _add(drawing: Drawing, roi: "ImagejRoi", wanted: set[str], samples: set[str], where: str) -> None:
    from roifile import ROI_SUBTYPE, ROI_TYPE

    label = _label(roi, wanted, samples, where)
    where = f"{where} ({label!r})"
    planes = (roi.position, roi.c_position, roi.z_position, roi.t_position)
    if max(planes) > 1:
        raise InputError(f"{where}: belongs to plane {max(planes)} of a stack; expected regions of one picture")
    if roi.roitype in (ROI_TYPE.LINE, ROI_TYPE.FREELINE, ROI_TYPE.POLYLINE, ROI_TYPE.ANGLE, ROI_TYPE.NOROI) or (
        roi.subtype in (ROI_SUBTYPE.TEXT, ROI_SUBTYPE.ARROW, ROI_SUBTYPE.IMAGE)
    ):
        reason = f"a {roi.roitype.name.lower()} is a line or a remark, without area"
        drawing.shapes.append(Shape(label, NoArea(reason), where))
        return
    if roi.roitype == ROI_TYPE.POINT:
        [points] = _outlines(roi, where)
        names = [label] if len(points) == 1 else [f"{label} {i + 1}" for i in range(len(points))]
        if len(points) > 1:
            drawing.notes.append(f"{where}: its {len(points)} points are called {names[0]!r} to {names[-1]!r}")
        for name, (x, y) in zip(names, points.tolist(), strict=True):
            drawing.keypoints.append(Keypoint(name, x, y, where))
        return
    drawing.shapes.append(Shape(label, _region(roi, where), where))


def _region(roi: "ImagejRoi", where: str) -> Region:
    from roifile import ROI_TYPE

    if roi.roitype in (ROI_TYPE.OVAL, ROI_TYPE.RECT) and not roi.composite:
        box = (roi.left, roi.top, roi.right - roi.left, roi.bottom - roi.top)
        x, y, w, h = map(float, (roi.xd, roi.yd, roi.widthd, roi.heightd) if roi.subpixelrect else box)
        if not np.isfinite([x, y, w, h]).all() or max(map(abs, (x, y, w, h))) > FAR:
            raise InputError(f"{where}: a box at {x:g}, {y:g} of {w:g} x {h:g} is not in the image")
        if roi.roitype == ROI_TYPE.OVAL:
            return Ellipse(x + w / 2, y + h / 2, w / 2, h / 2)
        return Polygons((outline([(x, y), (x + w, y), (x + w, y + h), (x, y + h)], where),))
    outlines = tuple(outline(map(tuple, o.tolist()), where) for o in _outlines(roi, where))
    return Polygons(outlines, even_odd=True)  # parts of a composite region, holes among them


def _outlines(roi: "ImagejRoi", where: str) -> list[np.ndarray]:
    try:
        found = [np.asarray(o, np.float64).reshape(-1, 2) for o in roi.coordinates(multi=True)]
    except Exception as error:  # whatever roifile meets in a broken path
        raise InputError(f"{where}: its outline is broken ({type(error).__name__}: {one_line(error)})") from None
    if not found or any(len(o) == 0 or not np.isfinite(o).all() for o in found):
        raise InputError(f"{where}: has no outline of finite numbers")
    return found
