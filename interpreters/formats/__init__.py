"""Labels from where people have them: readers and writers of common labelling tools' formats."""

from interpreters.formats.exporter import export_label_studio, export_labelme
from interpreters.formats.importer import FORMATS, Format, ImportReport, detect_format, import_labels
from interpreters.formats.values import Reading, ValuesReport, WantedChannel, import_values

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
