"""The product on disk: writing, reading and verifying dataset stores. The format is described in docs/format.md."""

from typing import TYPE_CHECKING

from labelfactory.errors import InputError, WorkError
from labelfactory.lazy import face

if TYPE_CHECKING:
    from labelfactory.storage.arrays import ArraySpec, ValueInfo
    from labelfactory.storage.dataset import Dataset, open_dataset
    from labelfactory.storage.finalizing import finalize
    from labelfactory.storage.manifest import Manifest
    from labelfactory.storage.records import CommitRecord
    from labelfactory.storage.repairing import repair
    from labelfactory.storage.report import html_report
    from labelfactory.storage.scores import keep_mask
    from labelfactory.storage.seeds import SEED_RULE, sample_seeds
    from labelfactory.storage.sequences import Sequences, open_sequences
    from labelfactory.storage.show import contact_sheet
    from labelfactory.storage.spec import ClassInfo, DatasetSpec
    from labelfactory.storage.store import Store, create_store, open_store
    from labelfactory.storage.verifying import Finding, Report, stored_spec, verify
    from labelfactory.storage.writer import ShardWriter

__all__ = [
    "SEED_RULE",
    "ArraySpec",
    "ClassInfo",
    "CommitRecord",
    "Dataset",
    "DatasetSpec",
    "Finding",
    "InputError",
    "Manifest",
    "Report",
    "Sequences",
    "ShardWriter",
    "Store",
    "ValueInfo",
    "WorkError",
    "contact_sheet",
    "create_store",
    "finalize",
    "html_report",
    "keep_mask",
    "open_dataset",
    "open_sequences",
    "open_store",
    "repair",
    "sample_seeds",
    "stored_spec",
    "verify",
]

# Loaded when asked for: training a label kind needs to know what arrays are, and neither zarr's codecs nor fsspec.
__getattr__, __dir__ = face(
    __name__,
    {
        "labelfactory.storage.arrays": ("ArraySpec", "ValueInfo"),
        "labelfactory.storage.dataset": ("Dataset", "open_dataset"),
        "labelfactory.storage.finalizing": ("finalize",),
        "labelfactory.storage.manifest": ("Manifest",),
        "labelfactory.storage.records": ("CommitRecord",),
        "labelfactory.storage.repairing": ("repair",),
        "labelfactory.storage.report": ("html_report",),
        "labelfactory.storage.scores": ("keep_mask",),
        "labelfactory.storage.seeds": ("SEED_RULE", "sample_seeds"),
        "labelfactory.storage.sequences": ("Sequences", "open_sequences"),
        "labelfactory.storage.show": ("contact_sheet",),
        "labelfactory.storage.spec": ("ClassInfo", "DatasetSpec"),
        "labelfactory.storage.store": ("Store", "create_store", "open_store"),
        "labelfactory.storage.verifying": ("Finding", "Report", "stored_spec", "verify"),
        "labelfactory.storage.writer": ("ShardWriter",),
    },
)
