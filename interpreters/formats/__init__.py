"""Labels from where people have them: readers and writers of common labelling tools' formats."""

from typing import TYPE_CHECKING

from labelfactory.interpreters.formats.table import FORMATS
from labelfactory.lazy import face

if TYPE_CHECKING:
    from labelfactory.interpreters.formats.exporter import export_labels
    from labelfactory.interpreters.formats.importer import ImportReport, import_labels
    from labelfactory.interpreters.formats.table import detect_format
    from labelfactory.interpreters.formats.values import Reading, ValuesReport, WantedChannel, import_values
    from labelfactory.interpreters.formats.work import Work

__all__ = [
    "FORMATS",
    "ImportReport",
    "Reading",
    "ValuesReport",
    "WantedChannel",
    "Work",
    "detect_format",
    "export_labels",
    "import_labels",
    "import_values",
]

# Loaded when asked for: a command's help needs the names of the formats alone.
__getattr__, __dir__ = face(
    __name__,
    {
        "labelfactory.interpreters.formats.exporter": ("export_labels",),
        "labelfactory.interpreters.formats.work": ("Work",),
        "labelfactory.interpreters.formats.importer": ("ImportReport", "import_labels"),
        "labelfactory.interpreters.formats.table": ("detect_format",),
        "labelfactory.interpreters.formats.values": ("Reading", "ValuesReport", "WantedChannel", "import_values"),
    },
)
