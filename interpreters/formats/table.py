"""The table of label formats: a line each. ``format.py`` says how to add one."""

from typing import TYPE_CHECKING

from labelfactory.errors import InputError
from labelfactory.lazy import member

if TYPE_CHECKING:  # the names alone are needed for a command's help
    from collections.abc import Callable
    from pathlib import Path

    from labelfactory.interpreters.formats.format import Format
    from labelfactory.interpreters.formats.source import Source
    from labelfactory.interpreters.formats.work import Work

HERE = "labelfactory.interpreters.formats"
FORMATS = {
    "labelme": f"{HERE}.labelme:Labelme",
    "coco": f"{HERE}.coco:Coco",
    "label-studio": f"{HERE}.label_studio:LabelStudio",
    "label-studio-brush": f"{HERE}.label_studio_brush:LabelStudioBrush",
    "cvat": f"{HERE}.cvat:Cvat",
    "yolo": f"{HERE}.yolo:Yolo",
    "voc": f"{HERE}.voc:Voc",
    "cityscapes": f"{HERE}.cityscapes:Cityscapes",
    "coco-panoptic": f"{HERE}.coco_panoptic:CocoPanoptic",
    "roboflow-masks": f"{HERE}.roboflow:RoboflowMasks",
    "via": f"{HERE}.via:Via",
    "imagej": f"{HERE}.imagej:ImageJ",
    "darwin": f"{HERE}.darwin:Darwin",
    "label-set": f"{HERE}.label_set_folder:LabelSetFolder",
    "png": f"{HERE}.pictures:Pictures",
}
"""Name of every format that is read, to the module and class that reads it."""

WRITERS = {"label-studio": f"{HERE}.label_studio_tasks:write", "labelme": f"{HERE}.labelme_files:write"}
"""Name of every labelling tool that a label set is written for, to the function that writes (``exporter.py``)."""


def open_format(name: str) -> "Format":
    """The reader called ``name``. InputError for a name that is not in the table."""
    if name not in FORMATS:
        raise InputError(f"format: {name!r} is unknown; expected auto, {', '.join(FORMATS)}")
    made: Format = member(FORMATS[name])()
    return made


def writer(name: str) -> "Callable[[Path, Work], str]":
    """The function that writes for the tool called ``name``. InputError for one that is not in the table."""
    if name not in WRITERS:
        raise InputError(f"format: {name!r}; expected {' or '.join(WRITERS)}")
    write: Callable[[Path, Work], str] = member(WRITERS[name])
    return write


def detect_format(source: "Source") -> str:
    """Name of the format that ``source`` has. InputError where none or several recognise it."""
    formats = {name: open_format(name) for name in FORMATS}
    for fallback in (False, True):
        reasons = {n: f.recognises(source) for n, f in formats.items() if f.fallback is fallback}
        found = {name: why for name, why in reasons.items() if why is not None}
        if len(found) > 1:
            both = ", and ".join(f"{name} ({why})" for name, why in found.items())
            raise InputError(f"{source.path}: may be {both}; say which with --format")
        if found:
            return next(iter(found))
    trouble = f" ({source.troubles[0]})" if source.troubles else ""
    raise InputError(f"{source.path}: no known label format{trouble}; name one of {', '.join(FORMATS)}")
