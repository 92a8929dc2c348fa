"""Runs an export shard by shard: streaming, resumable, and re-read at the end.

What an export has done is noted in its hidden ``.export`` folder: one note a shard, written when all the shard's files
are complete. An interrupted export makes only the shards that have no note.
"""

import importlib
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from labelfactory.errors import InputError, WorkError
from labelfactory.storage.dataset import Dataset
from labelfactory.storage.documents import canonical, sha256
from labelfactory.whole_files import whole_file

FORMATS = {
    "png": "labelfactory.storage.exports.png:PngExport",
    "coco": "labelfactory.storage.exports.coco:CocoExport",
    "yolo": "labelfactory.storage.exports.yolo:YoloExport",
    "webdataset": "labelfactory.storage.exports.webdataset:WebDatasetExport",
    "parquet": "labelfactory.storage.exports.parquet:ParquetExport",
}
NOTES = ".export"


@dataclass(frozen=True)
class ExportReport:
    """What an export holds now; ``written`` of its shards were made in this run."""

    out: str
    samples: int
    shards: int
    written: int
    files: int
    bytes: int


class Export(ABC):
    """One format. Samples keep their index in the store as their name, in nine digits."""

    def __init__(self, dataset: Dataset, out: Path) -> None:
        self.dataset, self.spec, self.out = dataset, dataset.spec, out

    @abstractmethod
    def write(self, shard: int, samples: Int[np.ndarray, "n"]) -> tuple[list[str], dict[str, Any]]:
        """Writes one shard's samples; gives the files (paths under ``out``) and what ``finish`` will need of it."""

    def finish(self, notes: Iterator[dict[str, Any]]) -> list[str]:
        """Writes what belongs to the whole set, from every shard's note in order; gives the files."""
        return []

    @abstractmethod
    def check(self, shard: int, samples: Int[np.ndarray, "n"]) -> None:
        """Re-reads one shard's samples from the files and compares with the store; WorkError where they differ."""

    def save(self, path: str, data: bytes) -> str:
        """One file, there whole or not at all."""
        target = self.out / path
        with explained(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(target, durable=False) as file:  # ``check`` reads every file again
                file.write(data)
        return path

    def same(self, what: str, sample: int | np.integer, left: Any, right: Any) -> None:
        """Compares what was read back with what the store holds."""
        if not np.array_equal(left, right):
            raise WorkError(
                f"{self.out}: {what} of sample {sample} is not what the store holds: export again elsewhere"
            )


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """What the disk says, as one line."""
    try:
        yield
    except OSError as error:
        raise WorkError(f"{path}: {error.strerror or error}; when that is mended, the same command resumes") from error
    except WorkError as error:
        raise WorkError(f"{error}; when that is mended, the same command resumes") from error


def export(
    dataset: Dataset,
    format: str,
    out: str | os.PathLike[str],
    *,
    check: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> ExportReport:
    """Writes the samples that ``dataset`` has chosen (``keep`` and thresholds) in another format under ``out``.

    Running it again resumes. ``check`` re-reads every sample that was written. ``progress`` is called with (samples
    done, samples in all). Raises InputError for an unknown format or an ``out`` that holds something else, WorkError
    where the disk fails or what was written reads back differently.
    """
    if format not in FORMATS:
        raise InputError(f"format {format!r}: expected one of {', '.join(FORMATS)}")
    folder = Path(out)
    _claim_folder(dataset, format, folder)
    module, name = FORMATS[format].split(":")
    try:
        exporter: Export = getattr(importlib.import_module(module), name)(dataset, folder)
    except ImportError as error:
        raise InputError(f"format {format} needs {error.name}: pip install 'labelfactory[export]'") from error
    shards, starts = np.unique(dataset.samples // dataset.spec.samples_per_shard, return_index=True)
    parts = dict(zip(shards.tolist(), np.split(dataset.samples, starts[1:]), strict=True))
    written = done = 0
    for shard, samples in parts.items():
        if not _is_noted(folder, shard):
            files, summary = exporter.write(shard, samples)
            sizes = {path: (folder / path).stat().st_size for path in files}
            exporter.save(_note_path(shard), canonical({"files": sizes, "summary": summary}))
            written += 1
        if check:
            exporter.check(shard, samples)
        done += len(samples)
        if progress is not None:
            progress(done, len(dataset))
    notes = [_note_path(shard) for shard in parts]
    whole = exporter.finish(json.loads((folder / path).read_text())["summary"] for path in notes)
    sizes = {path: (folder / path).stat().st_size for path in whole}
    for path in notes:
        sizes.update(json.loads((folder / path).read_text())["files"])
    return ExportReport(str(folder), len(dataset), len(parts), written, len(sizes), sum(sizes.values()))


def _note_path(shard: int) -> str:
    return f"{NOTES}/{shard:06d}.json"


def _is_noted(folder: Path, shard: int) -> bool:
    """Whether a shard's note is there and every file that it names has its size."""
    try:
        files = json.loads((folder / _note_path(shard)).read_text())["files"]
        return all((folder / path).stat().st_size == size for path, size in files.items())
    except (OSError, ValueError, KeyError):
        return False


def _claim_folder(dataset: Dataset, format: str, folder: Path) -> None:
    """Notes in ``out`` which export it holds; refuses a folder of something else, or of another export."""
    stamp = {
        "format": format,
        "dataset": sha256(dataset.manifest.to_bytes()),
        "samples": sha256(dataset.samples.astype("<i8").tobytes()),
    }
    note = folder / NOTES / "export.json"
    if not len(dataset):
        raise InputError("no sample passes the thresholds: nothing to export")
    try:
        if note.exists():
            theirs = json.loads(note.read_text())
            if theirs != stamp:
                changed = [name for name in stamp if theirs.get(name) != stamp[name]]
                raise InputError(f"{folder} holds another export ({', '.join(changed)} differ): choose another folder")
            return
        if folder.exists() and (not folder.is_dir() or any(path.name != NOTES for path in folder.iterdir())):
            raise InputError(f"{folder} holds something else: choose another folder")
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_bytes(canonical(stamp))
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{note} is damaged: choose another folder") from error
    except OSError as error:
        raise InputError(f"{folder} cannot be written: {error.strerror or error}; choose another folder") from error


def in_parallel(work: Callable[[int], Any], count: int) -> list[Any]:
    """``work`` for 0 to ``count - 1`` in threads (compression runs outside the interpreter's lock), in order."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(work, range(count)))
