"""Is every byte as it was committed? Sizes, hashes, decoding, and that the content obeys the spec's rules."""

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float32

from labelfactory.errors import InputError, WorkError
from labelfactory.storage.backends.backend import Backend
from labelfactory.storage.backends.opening import open_backend
from labelfactory.storage.checks import mask_pixels, mask_problem, problem
from labelfactory.storage.finalizing import keep_files, keep_mask
from labelfactory.storage.metadata import ROOT, metadata_documents, model_paths
from labelfactory.storage.records import MANIFEST, CommitRecord, FileInfo, Manifest, commit_path
from labelfactory.storage.shards import decode_shard
from labelfactory.storage.spec import DatasetSpec
from labelfactory.storage.store import Store, read_spec, spec_of


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
        spec = read_spec(backend)
        if manifest is None:
            return spec, json.loads(backend.read(ROOT))["attributes"]["software"], None, findings
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
) -> Report:
    """Reads every byte of a store with ``workers`` threads and compares it with what was committed.

    ``progress`` is called with (shards done, shards in all). A damaged store gives a report with findings; InputError
    is for a place where no store is, WorkError for a disk or server that fails.
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
    results = []
    with ThreadPoolExecutor(workers) as pool:
        for result in pool.map(lambda shard: _verify_shard(backend, spec, manifest, shard), range(spec.num_shards)):
            results.append(result)
            report.findings += result.findings
            report.files += result.files
            report.bytes_read += result.bytes_read
            if progress is not None:
                progress(len(results), spec.num_shards)
    _check_keep(report, backend, spec, manifest, [result.scores for result in results])
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


def _verify_shard(backend: Backend, spec: DatasetSpec, manifest: Manifest | None, shard: int) -> _ShardResult:
    findings: list[Finding] = []
    path = commit_path(shard)
    data = backend.read_many([path])[0]
    record = CommitRecord.from_bytes(data)
    result = _ShardResult(findings, None, 1, len(data or b""))
    if data is None or record is None:
        findings.append(Finding(shard, path, "missing" if data is None else "damaged"))
    elif Store(backend, spec).valid_record(shard, data) is None:
        findings.append(Finding(shard, path, "is the record of another shard or another dataset"))
    elif manifest is not None and manifest.commits[shard] != Manifest.hash_of(record):
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


def _check_keep(
    report: Report,
    backend: Backend,
    spec: DatasetSpec,
    manifest: Manifest | None,
    scores: list[np.ndarray | None],
) -> None:
    """``keep`` against the quantile rule; where scores are missing, against the manifest's hashes at least."""
    if all(part is not None for part in scores):
        keep = keep_mask(np.concatenate([part for part in scores if part is not None]), spec.keep_quantile)
        if manifest is not None and manifest.kept != int(keep.sum()):
            report.findings.append(Finding(None, MANIFEST, f"states {manifest.kept} kept, the rule keeps {keep.sum()}"))
        for shard, (path, data) in enumerate(keep_files(spec, keep).items()):
            if manifest is not None:  # an unfinished store has none yet
                _check_file(report, backend, shard, path, data)
    elif manifest is not None:
        for shard in range(spec.num_shards):
            path = f"keep/c/{shard}"
            stored = backend.read_many([path])[0]
            if stored is None or not manifest.files[path].matches(stored):
                report.findings.append(
                    Finding(shard, path, "missing" if stored is None else "differs from the manifest")
                )
