"""Dataset stores in the formats that other tools expect."""

from labelfactory.storage.exports.engine import FORMATS, ExportReport, export

__all__ = ["FORMATS", "ExportReport", "export"]
