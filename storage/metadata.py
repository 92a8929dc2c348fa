"""The Zarr v3 metadata of a store: one group document with all arrays' documents inside it, and one a array."""

import importlib.metadata
from typing import Any

from labelfactory.storage.arrays import ArraySpec
from labelfactory.storage.documents import canonical
from labelfactory.storage.packing import PACKINGS
from labelfactory.storage.seeds import CONDITION_RULE, SEED_RULE
from labelfactory.storage.spec import DatasetSpec
from labelfactory.storage.walks import WALK_RULE

SCHEMA, SCHEMA_VERSION = "labelfactory.dataset", 1
ROOT = "zarr.json"

_BYTES = {"name": "bytes", "configuration": {"endian": "little"}}
_CRC = {"name": "crc32c"}


def array_metadata(array: ArraySpec, count: int, samples_per_shard: int) -> dict[str, Any]:
    """The ``zarr.json`` of one array, as zarr-python writes it."""
    to_bytes = _BYTES if array.dtype not in ("uint8", "bool") else {"name": "bytes"}
    packing = PACKINGS[array.packing]
    zstd = {"name": "zstd", "configuration": {"level": packing.level, "checksum": True}}
    codecs: list[dict[str, Any]] = [*packing.codecs, to_bytes, _CRC if packing.level is None else zstd]
    if array.per_sample:
        configuration = {
            "chunk_shape": [1, *array.sample_shape],
            "codecs": codecs,
            "index_codecs": [_BYTES, _CRC],
            "index_location": "end",
        }
        codecs = [{"name": "sharding_indexed", "configuration": configuration}]
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": [count, *array.sample_shape],
        "data_type": array.dtype,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [samples_per_shard, *array.sample_shape]}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": array.fill_value,
        "codecs": codecs,
        "attributes": {},
        "dimension_names": list(array.dims),
        "storage_transformers": [],
    }


def software_versions() -> dict[str, str]:
    """Versions of what shaped the bytes: our own code, and the library that compresses."""
    versions = {}
    for package in ("labelfactory", "numpy", "numcodecs", "torch"):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return versions


def root_attributes(spec: DatasetSpec, software: dict[str, str]) -> dict[str, Any]:
    """Everything that is known about the set: the spec, and what readers would else work out from it."""
    return {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        **spec.to_json(),
        "class_names": [info.name for info in spec.classes],
        "palette": [list(info.color) for info in spec.classes],
        "seed_rule": SEED_RULE,
        **({"condition_rule": CONDITION_RULE} if spec.conditions else {}),
        **({"walk_rule": WALK_RULE} if spec.walk else {}),
        "spec_hash": spec.hash,
        "software": software,
    }


def model_path(kind: str, sha256: str) -> str:
    """Where a store keeps an "interpreter" or a "regressor"."""
    return f"_models/{kind}-{sha256}.safetensors"


def model_paths(spec: DatasetSpec) -> dict[str, str]:
    """Path -> sha256 of every model that a store may keep, so that any machine can go on: the interpreter first, then
    what made the label arrays. The manifest vouches for them too.
    """
    regressors = sorted({array.model for array in spec.label_arrays} - {""})
    return {model_path("interpreter", spec.interpreter_sha256): spec.interpreter_sha256} | {
        model_path("regressor", sha256): sha256 for sha256 in regressors
    }


def metadata_documents(spec: DatasetSpec, software: dict[str, str]) -> dict[str, bytes]:
    """Path -> bytes of every metadata document, the root document (which alone says what the store is) first."""
    arrays = {array.name: array_metadata(array, spec.count, spec.samples_per_shard) for array in spec.arrays()}
    root = {
        "zarr_format": 3,
        "node_type": "group",
        "attributes": root_attributes(spec, software),
        # Inside the root document too: stores behind HTTP cannot be listed, and one request opens all arrays.
        "consolidated_metadata": {"kind": "inline", "must_understand": False, "metadata": arrays},
    }
    return {ROOT: canonical(root), **{f"{name}/zarr.json": canonical(document) for name, document in arrays.items()}}
