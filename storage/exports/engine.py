"""Runs an export shard by shard: streaming, resumable, and re-read at the end.

What an export has done is noted in its hidden ``.export`` folder: one note a shard, written when all the shard's files
are complete. An interrupted export makes only the shards that have no note.
"""

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Int

from labelfactory.errors import InputError, WorkError
from labelfactory.lazy import member
from labelfactory.storage.arrays import ArraySpec
from labelfactory.storage.dataset import Dataset
from labelfactory.storage.documents import canonical, sha256
from labelfactory.storage.exports.encodings import MaskEncoding
from labelfactory.whole_files import whole_file

# A format is a file with an ``Export`` and a line here; tests/test_exports.py holds for every member.
FORMATS = {
    "png": "labelfactory.storage.exports.png:PngExport",
    "coco": "labelfactory.storage.exports.coco:CocoExport",
    "yolo": "labelfactory.storage.exports.yolo:YoloExport",
    "yolo-pose": "labelfactory.storage.exports.yolo_pose:YoloPoseExport",
    "webdataset": "labelfactory.storage.exports.webdataset:WebDatasetExport",
    "parquet": "labelfactory.storage.exports.parquet:ParquetExport",
}
NOTES = ".export"


@dataclass(frozen=True)
class ExportReport:
    """What an export holds now; ``written`` of its shards were made in this run.

    ``remarks`` say what was left out or changed, a sentence each.
    """

    out: str
    samples: int
    shards: int
    written: int
    files: int
    bytes: int
    remarks: tuple[str, ...] = ()


class Export(ABC):
    """One format. Samples keep their index in the store as their name, in nine digits.

    ``layout`` is the number of its arrangement of files: raise it with every change, as an export that was begun in
    another one is not continued. ``mask_styles`` says whether it has masks as pictures. The constructor refuses what
    the format cannot hold (InputError) and writes nothing.
    """

    layout: ClassVar[int]
    mask_styles: ClassVar[bool] = False

    def __init__(self, dataset: Dataset, out: Path, masks: str = "grey") -> None:
        self.dataset, self.spec, self.out = dataset, dataset.spec, out
        self.masks = MaskEncoding(masks, self.spec.classes)

    @abstractmethod
    def holds(self, array: ArraySpec) -> bool:
        """Whether the format has a place for this array of a store."""

    @abstractmethod
    def write(self, shard: int, samples: Int[np.ndarray, "n"]) -> tuple[list[str], dict[str, Any]]:
        """Writes one shard's samples; gives the files (paths under ``out``) and what ``finish`` will need of it."""

    def finish(self, notes: Iterator[dict[str, Any]]) -> list[str]:
        """Writes what belongs to the whole set, from every shard's note in order; gives the files."""
        return []

    def remarks(self, notes: Iterator[dict[str, Any]]) -> list[str]:
        """What people should know beside the arrays that are left out, from every shard's note."""
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
        """Compares what was read back with what the store holds; NaN is equal to NaN."""
        left, right = np.asarray(left), np.asarray(right)
        if not np.array_equal(left, right, equal_nan=left.dtype.kind == right.dtype.kind == "f"):
            raise WorkError(
                f"{self.out}: {what} of sample {sample} is not what the store holds: export again elsewhere"
            )


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """What the disk says while something is written, as one line."""
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
    masks: str | None = None,
    check: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> ExportReport:
    """Writes the samples that ``dataset`` has chosen (``keep`` and thresholds) in another format under ``out``.

    Running it again resumes. ``masks`` is a style of ``MASKS`` for formats that have masks as pictures, grey by
    default. ``check`` re-reads every sample that was written. ``progress`` is called with (samples done, samples in
    all). Raises InputError for an unknown format or an ``out`` that holds something else, WorkError where the disk
    fails or what was written reads back differently.
    """
    folder = Path(out)
    exporter = _exporter(dataset, format, folder, masks)
    _claim_folder(exporter, format, masks)
    try:
        return _export(exporter, format, check, progress)
    except OSError as error:  # of reading back: ``save`` explains its own
        raise WorkError(f"{error.filename or folder}: {error.strerror or error}") from error


def _export(exporter: Export, format: str, check: bool, progress: Callable[[int, int], None] | None) -> ExportReport:
    dataset, folder = exporter.dataset, exporter.out
    parts = _shards(dataset)
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
    summaries = partial(_summaries, folder, notes)
    whole = exporter.finish(summaries())
    sizes = {path: (folder / path).stat().st_size for path in whole}
    for path in notes:
        sizes.update(json.loads((folder / path).read_text())["files"])
    remarks = (*_left_out(exporter, format), *exporter.remarks(summaries()))
    return ExportReport(str(folder), len(dataset), len(parts), written, len(sizes), sum(sizes.values()), remarks)


def _exporter(dataset: Dataset, format: str, folder: Path, masks: str | None) -> Export:
    """The format's own class, ready to write; InputError where there is nothing that it could do."""
    if format not in FORMATS:
        raise InputError(f"format {format!r}: expected one of {', '.join(FORMATS)}")
    if not len(dataset):
        raise InputError("no sample passes the thresholds: nothing to export")
    try:
        kind: type[Export] = member(FORMATS[format])
    except ImportError as error:
        raise InputError(f"format {format} needs {error.name}: pip install 'labelfactory[export]'") from error
    if masks is not None and not kind.mask_styles:
        raise InputError(f"masks {masks!r}: {format} has no masks as pictures, leave the option out")
    return kind(dataset, folder, masks or "grey")


def _shards(dataset: Dataset) -> dict[int, np.ndarray]:
    """Shard -> the chosen samples in it."""
    shards, starts = np.unique(dataset.samples // dataset.spec.samples_per_shard, return_index=True)
    return dict(zip(shards.tolist(), np.split(dataset.samples, starts[1:]), strict=True))


def _summaries(folder: Path, notes: list[str]) -> Iterator[dict[str, Any]]:
    for path in notes:
        yield json.loads((folder / path).read_text())["summary"]


def _left_out(exporter: Export, format: str) -> list[str]:
    # ``keep`` has chosen the samples: it says nothing more of them.
    names = [array.name for array in exporter.spec.arrays() if array.name != "keep" and not exporter.holds(array)]
    return [f"left out of {format}: {', '.join(names)}"] if names else []


def _note_path(shard: int) -> str:
    return f"{NOTES}/{shard:06d}.json"


def _is_noted(folder: Path, shard: int) -> bool:
    """Whether a shard's note is there and every file that it names has its size."""
    try:
        files = json.loads((folder / _note_path(shard)).read_text())["files"]
        return all((folder / path).stat().st_size == size for path, size in files.items())
    except (OSError, ValueError, KeyError):
        return False


def _claim_folder(exporter: Export, format: str, masks: str | None) -> None:
    """Notes in ``out`` which export it holds; refuses a folder of something else, or of another export."""
    dataset, folder = exporter.dataset, exporter.out
    stamp: dict[str, Any] = {
        "format": format,
        "layout": exporter.layout,
        "dataset": sha256(dataset.manifest.to_bytes()),
        "samples": sha256(dataset.samples.astype("<i8").tobytes()),
    }
    if exporter.mask_styles:
        stamp["masks"] = masks or "grey"
    note = f"{NOTES}/export.json"
    try:
        if (folder / note).exists():
            _compare(stamp, json.loads((folder / note).read_text()), folder)
            return
        if folder.exists() and (not folder.is_dir() or any(path.name != NOTES for path in folder.iterdir())):
            raise InputError(f"{folder} holds something else: choose another folder")
        exporter.save(note, canonical(stamp))
    except (OSError, WorkError) as error:
        cause = error if isinstance(error, OSError) else error.__cause__
        reason = getattr(cause, "strerror", None) or error
        raise InputError(f"{folder} cannot be written: {reason}; choose another folder") from error
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{folder / note} is damaged: choose another folder") from error


def _compare(mine: dict[str, Any], theirs: dict[str, Any], folder: Path) -> None:
    """InputError where ``folder`` holds an export of ``theirs`` and not of ``mine``."""
    if theirs == mine:
        return
    if theirs.get("format") == mine["format"] and theirs.get("layout", 1) != mine["layout"]:
        raise InputError(
            f"{folder} holds an export in layout {theirs.get('layout', 1)} of {mine['format']}, of another version; "
            f"this one writes layout {mine['layout']}: choose another folder"
        )
    changed = [name for name in mine if theirs.get(name) != mine[name]]
    raise InputError(f"{folder} holds another export ({', '.join(changed)} differ): choose another folder")


def in_parallel(work: Callable[[int], Any], count: int) -> list[Any]:
    """``work`` for 0 to ``count - 1`` in threads (compression runs outside the interpreter's lock), in order."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(work, range(count)))
