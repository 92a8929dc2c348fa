"""Is every byte as it was committed? Sizes, hashes, decoding, and that the content obeys the spec's rules."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float32

from labelfactory.errors import InputError, WorkError
from labelfactory.storage.backends.backend import Backend
from labelfactory.storage.backends.opening import open_backend
from labelfactory.storage.checks import mask_pixels, mask_problem, problem
from labelfactory.storage.documents import sha256
from labelfactory.storage.finalizing import KeepFiles
from labelfactory.storage.manifest import (
    MANIFEST,
    Entries,
    Entry,
    Manifest,
    Part,
    keep_path,
    part_path,
    parts_of,
)
from labelfactory.storage.metadata import metadata_documents, model_paths
from labelfactory.storage.records import CommitRecord, FileInfo, commit_path
from labelfactory.storage.scores import Scores
from labelfactory.storage.shards import decode_shard
from labelfactory.storage.spec import DatasetSpec
from labelfactory.storage.store import Store, read_root, spec_of


@dataclass(frozen=True)
class Finding:
    """One file that is not as it must be. ``shard`` is None for what belongs to the whole store."""

    shard: int | None
    path: str
    problem: str

    def __str__(self) -> str:
        return f"{'store' if self.shard is None else f'shard {self.shard}'}: {self.path}: {self.problem}"


@dataclass
class Report:
    """What ``verify`` looked at and what it found."""

    uri: str
    count: int = 0
    shards: int = 0
    files: int = 0
    bytes_read: int = 0
    seconds: float = 0.0
    findings: list[Finding] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.findings

    @property
    def damaged_shards(self) -> list[int]:
        return sorted({finding.shard for finding in self.findings if finding.shard is not None})

    def to_json(self) -> str:
        return json.dumps({**asdict(self), "ok": self.ok, "damaged_shards": self.damaged_shards}, indent=1)

    def lines(self) -> Iterator[str]:
        """For people: every finding, then one line of summary."""
        yield from map(str, self.findings)
        looked = f"{self.shards} shards, {self.files} files, {self.bytes_read / 1e6:.1f} MB in {self.seconds:.1f} s"
        if self.ok:
            yield f"{self.uri}: every byte is as committed ({self.count} samples, {looked})"
        else:
            shards = f"; damaged shards: {', '.join(map(str, self.damaged_shards))}" if self.damaged_shards else ""
            yield f"{self.uri}: {len(self.findings)} files are not as committed ({looked}){shards}"


@dataclass
class _ShardResult:
    shard: int
    findings: list[Finding]
    scores: Float32[np.ndarray, "n"] | None
    files: int
    bytes_read: int


def find_spec(backend: Backend) -> tuple[DatasetSpec, dict[str, str], Manifest | None, list[Finding]]:
    """Spec, software versions and manifest from whichever of the root document and the manifest is sound."""
    findings = []
    data = backend.read_many([MANIFEST])[0]
    manifest = Manifest.from_bytes(data)
    if data is None:
        findings.append(Finding(None, MANIFEST, "missing: the store is not finished"))
    elif manifest is None:
        findings.append(Finding(None, MANIFEST, "damaged"))
    try:
        spec, software = read_root(backend)
        if manifest is None:
            return spec, software, None, findings
    except (InputError, WorkError):
        if manifest is None:
            raise
    # The manifest vouches for itself; where the root document says something else, the comparison will name it.
    return spec_of(manifest.attributes, MANIFEST), manifest.attributes["software"], manifest, findings


def stored_spec(uri: str, storage_options: dict[str, Any] | None = None) -> DatasetSpec:
    """The spec of a store, even where its root document is damaged but the manifest is sound."""
    return find_spec(open_backend(uri, storage_options))[0]


def verify(
    uri: str,
    *,
    workers: int = 4,
    storage_options: dict[str, Any] | None = None,
    progress: Callable[[int, int], None] | None = None,
    found: Callable[[Finding], Any] = lambda finding: None,
) -> Report:
    """Reads every byte of a store with ``workers`` threads and compares it with what was committed.

    ``progress`` is called with (shards done, shards in all), ``found`` with what is found in a shard. A damaged store
    gives a report with findings; InputError is for a place where no store is, WorkError for a disk or server that
    fails.
    """
    if workers < 1:
        raise InputError(f"{workers} workers: expected 1 or more")
    began, report, backend = time.monotonic(), Report(uri), open_backend(uri, storage_options)
    spec, software, manifest, report.findings = find_spec(backend)
    report.count, report.shards = spec.count, spec.num_shards
    for path, data in metadata_documents(spec, software).items():
        _check_file(report, backend, None, path, data)
    for model in model_paths(spec):
        if manifest is not None and model in manifest.files:
            _check_info(report, backend, model, manifest.files[model])
    with ThreadPoolExecutor(workers) as pool, Scores() as scores:
        for number, shards in parts_of(spec.num_shards):  # all shards at once would wait in memory
            stated = _stated(report, backend, manifest, number, shards)
            for result in pool.map(partial(_verify_shard, Store(backend, spec, software)), shards, stated):
                report.findings += result.findings
                for finding in result.findings:
                    found(finding)
                report.files += result.files
                report.bytes_read += result.bytes_read
                if result.scores is not None:
                    scores.append(result.scores)
                if progress is not None:
                    progress(result.shard + 1, spec.num_shards)
        _check_keep(report, backend, spec, manifest, scores)
    report.seconds = time.monotonic() - began
    return report


def _check_file(report: Report, backend: Backend, shard: int | None, path: str, expected: bytes) -> None:
    data = backend.read_many([path])[0]
    report.files += 1
    report.bytes_read += len(data or b"")
    if data is None:
        report.findings.append(Finding(shard, path, "missing"))
    elif data != expected:
        report.findings.append(Finding(shard, path, f"differs from what it must be ({len(data)} bytes)"))


def _check_info(report: Report, backend: Backend, path: str, info: FileInfo) -> None:
    data = backend.read_many([path])[0]
    report.files += 1
    report.bytes_read += len(data or b"")
    if data is None or not info.matches(data):
        report.findings.append(
            Finding(None, path, "missing" if data is None else "has another sha256 than was committed")
        )


def _stated(
    report: Report, backend: Backend, manifest: Manifest | None, number: int, shards: range
) -> Sequence[Entry] | Sequence[None]:
    """What the manifest states of a part's shards; None of each where it says nothing sound."""
    if manifest is None:
        return [None] * len(shards)
    if not manifest.parts:
        return [Entries(backend, manifest)[shard] for shard in shards]
    data = backend.read_many([part_path(number)])[0]
    report.files += 1
    report.bytes_read += len(data or b"")
    part = Part.from_bytes(data) if data is not None and sha256(data) == manifest.parts[number] else None
    if part is None:
        report.findings.append(Finding(None, part_path(number), "missing" if data is None else "damaged"))
        return [None] * len(shards)
    return part.entries


def _verify_shard(store: Store, shard: int, stated: Entry | None) -> _ShardResult:
    backend, spec = store.backend, store.spec
    findings: list[Finding] = []
    path = commit_path(shard)
    data = backend.read_many([path])[0]
    record = CommitRecord.from_bytes(data)
    result = _ShardResult(shard, findings, None, 1, len(data or b""))
    if data is None or record is None or record.to_bytes() != data:
        findings.append(Finding(shard, path, "missing" if data is None else "damaged"))
    elif not store.belongs(shard, record):
        findings.append(Finding(shard, path, "is the record of another shard or another dataset"))
    elif stated is not None and stated.commit != sha256(data):
        findings.append(Finding(shard, path, "is not the record that the manifest states"))
    if findings or record is None:
        return result
    scores = None
    for array in spec.shard_arrays():
        path = array.chunk_path(shard)
        data, info = backend.read_many([path])[0], record.files[path]
        result.files += 1
        result.bytes_read += len(data or b"")
        if data is None:
            findings.append(Finding(shard, path, "missing"))
        elif len(data) != info.size:
            findings.append(Finding(shard, path, f"has {len(data)} bytes, committed were {info.size}"))
        elif not info.matches(data):
            findings.append(Finding(shard, path, "has another sha256 than was committed"))
        else:
            try:
                values = decode_shard(array, spec.samples_per_shard, data, record.stop - record.start)
            except WorkError as error:
                findings.append(Finding(shard, path, f"does not decode: {error}"))
            else:
                wrong = problem(spec, array, values, record.start)
                if array.role == "mask":
                    wrong = _mask_problem(spec, record, mask_pixels(values))
                if wrong is not None:
                    findings.append(Finding(shard, path, wrong))
                if array.role == "score":
                    scores = values
    result.scores = None if findings else scores
    return result


def _mask_problem(spec: DatasetSpec, record: CommitRecord, pixels: list[int]) -> str | None:
    """Bytes can be as committed and the record still say something else of them."""
    counted = [*pixels[: len(spec.classes)], pixels[spec.ignore_index]]
    stated = [*record.class_pixels, record.ignored_pixels]
    return mask_problem(spec, pixels) or (
        None if counted == stated else "has other pixel counts than its record states"
    )


def _check_keep(report: Report, backend: Backend, spec: DatasetSpec, manifest: Manifest | None, scores: Scores) -> None:
    """``keep`` against the quantile rule; where scores are missing, against the manifest's hashes at least."""
    if manifest is None:  # an unfinished store has none yet
        return
    if scores.count == spec.count:
        kept = 0
        for shard, path, data, marked in KeepFiles(spec, scores):
            kept += marked
            _check_file(report, backend, shard, path, data)
        if manifest.kept != kept:
            report.findings.append(Finding(None, MANIFEST, f"states {manifest.kept} kept, the rule keeps {kept}"))
        return
    for number, shards in parts_of(spec.num_shards):
        stated = _stated(Report(report.uri), backend, manifest, number, shards)
        for shard, entry in zip(shards, stated, strict=True):
            path = keep_path(shard)
            stored = backend.read_many([path])[0]
            if entry is not None and (stored is None or not entry.keep.matches(stored)):
                problem = "missing" if stored is None else "differs from the manifest"
                report.findings.append(Finding(shard, path, problem))
