"""Dataset stores in the formats that other tools expect."""

from labelfactory.storage.exports.encodings import MASKS
from labelfactory.storage.exports.engine import FORMATS, ExportReport, export

__all__ = ["FORMATS", "MASKS", "ExportReport", "export"]
