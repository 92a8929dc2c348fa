"""What mends a damaged store from outside of it: its models' files, found by their hashes, and shards made again."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from labelfactory.errors import InputError, WorkError
from labelfactory.factory.cache import cache_dir
from labelfactory.storage import DatasetSpec, stored_spec
from labelfactory.storage.metadata import model_paths


class ModelFiles:
    """Files of a dataset's models on this machine: those given, and those in the cache. InputError for a stranger."""

    def __init__(self, spec: DatasetSpec, given: Sequence[Path] = ()) -> None:
        self._found: dict[str, Path] = {}
        for path in given:
            try:
                sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
            except OSError as error:
                raise InputError(f"{path}: cannot be read ({error.strerror})") from None
            if sha256 not in (known := model_paths(spec).values()):
                wanted = ", ".join(f"{name[:12]}..." for name in known)
                raise InputError(f"{path}: not a model of this dataset (sha256 {sha256[:12]}..., expected {wanted})")
            self._found[sha256] = path

    def path(self, sha256: str) -> Path | None:
        if sha256 not in self._found:
            for path in _cached(sha256):
                if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == sha256:
                    self._found[sha256] = path
                    break
        return self._found.get(sha256)

    def read(self, sha256: str) -> bytes | None:
        """The bytes of the file with that hash, None where it is not at hand; what ``storage.repair`` asks for."""
        path = self.path(sha256)
        return None if path is None else path.read_bytes()


def _cached(sha256: str) -> Iterator[Path]:
    """Where the cache may have it: under its hash as production keeps it, or under what it was trained from."""
    for kind in ("regressors", "interpreters"):
        yield cache_dir() / kind / f"{sha256}.safetensors"
    yield from sorted((cache_dir() / "interpreters").glob("*.safetensors"))


def shard_maker(
    uri: str, files: ModelFiles, generator: str | None = None, device: str = "auto"
) -> Callable[[int], dict[str, np.ndarray]]:
    """Makes any shard of a store again; models that are not among ``files`` are looked for in the store.

    ``generator`` stands in where it has moved from the place that the store names. The function that is returned
    raises WorkError where generator or models are not to be found.
    """

    def make(shard: int) -> dict[str, np.ndarray]:
        from labelfactory.factory.production.job import Job
        from labelfactory.factory.production.render import render_shard  # loads torch, which most repairs do without

        spec = stored_spec(uri)
        spec = replace(spec, generator=generator or spec.generator)
        heads = {name: str(files.path(sha256) or "") for name, sha256 in spec.heads.items()}
        job = Job(uri, spec, str(files.path(spec.interpreter_sha256) or ""), device, heads=heads)
        try:
            return render_shard(job, *spec.shard_range(shard))
        except (InputError, WorkError) as error:
            raise WorkError(f"can only be re-made with its generator and interpreter at hand: {error}") from error

    return make
