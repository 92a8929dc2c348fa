"""Labels from where people have them: readers and writers of common labelling tools' formats."""

from labelfactory.interpreters.formats.exporter import export_label_studio, export_labelme
from labelfactory.interpreters.formats.importer import FORMATS, Format, ImportReport, detect_format, import_labels
from labelfactory.interpreters.formats.values import Reading, ValuesReport, WantedChannel, import_values

__all__ = [
    "FORMATS",
    "Format",
    "ImportReport",
    "Reading",
    "ValuesReport",
    "WantedChannel",
    "detect_format",
    "export_label_studio",
    "export_labelme",
    "import_labels",
    "import_values",
]
