"""The product on disk: writing, reading and verifying dataset stores. The format is described in docs/format.md."""

from storage.dataset import Dataset, open_dataset
from storage.errors import InputError, WorkError
from storage.finalize import finalize, keep_mask
from storage.records import CommitRecord, Manifest
from storage.repair import repair
from storage.report import html_report
from storage.seeds import SEED_RULE, sample_seeds
from storage.show import contact_sheet
from storage.spec import ArraySpec, ClassInfo, DatasetSpec, ValueInfo
from storage.store import Store, create_store, open_store
from storage.verify import Finding, Report, stored_spec, verify
from storage.writer import ShardWriter

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
