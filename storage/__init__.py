"""The product on disk: writing, reading and verifying dataset stores. The format is described in docs/format.md."""

from labelfactory.errors import InputError, WorkError
from labelfactory.storage.arrays import ArraySpec
from labelfactory.storage.dataset import Dataset, open_dataset
from labelfactory.storage.finalizing import finalize, keep_mask
from labelfactory.storage.records import CommitRecord, Manifest
from labelfactory.storage.repairing import repair
from labelfactory.storage.report import html_report
from labelfactory.storage.seeds import SEED_RULE, sample_seeds
from labelfactory.storage.show import contact_sheet
from labelfactory.storage.spec import ClassInfo, DatasetSpec, ValueInfo
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
    "open_store",
    "repair",
    "sample_seeds",
    "stored_spec",
    "verify",
]
