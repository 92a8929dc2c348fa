"""The models that a job names: loaded once, found on any machine."""

import hashlib
import threading
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from labelfactory.errors import InputError, WorkError
from labelfactory.factory.cache import cache_dir
from labelfactory.factory.families import open_generator
from labelfactory.factory.generator import ImageGenerator
from labelfactory.factory.heads.head import REGRESSORS, load_regressor
from labelfactory.factory.production.job import Job
from labelfactory.interpreters import StyleInterpreter
from labelfactory.interpreters.crop import Crop
from labelfactory.interpreters.regression import FeatureRegressor
from labelfactory.storage import Store, open_store
from labelfactory.whole_files import whole_file


class Models(NamedTuple):
    """What makes a job's samples; a kind of regressor that the job does not use is None."""

    generator: ImageGenerator
    interpreter: StyleInterpreter
    keypoints: FeatureRegressor | None
    values: FeatureRegressor | None
    centres: FeatureRegressor | None


_LOADING = threading.Lock()  # threads of one process wait for the first that loads, rather than load as well


def models_of(job: Job) -> Models:
    """Loaded once in a worker process, however many shards it makes."""
    with _LOADING:
        return _load_models(job)


@lru_cache(maxsize=2)
def _load_models(job: Job) -> Models:
    opened = open_generator(job.generator, job.device, job.generator_sha256)
    generator = opened.cropped(Crop.of(job.spec.crop)).replayed()
    path = str(_model_file(job, "interpreter", job.interpreter, job.spec.interpreter_sha256))
    interpreter, _ = load_interpreter(path, generator, job.spec.interpreter_sha256)
    regressors: dict[str, FeatureRegressor | None] = dict.fromkeys(REGRESSORS)
    for kind, name in REGRESSORS.items():
        if sha256 := getattr(job.spec, name):
            file = _model_file(job, "regressor", job.regressors.get(kind, ""), sha256)
            regressors[kind] = load_regressor(file, generator, kind).to(generator.device)
    return Models(generator, interpreter.to(generator.device), **regressors)


def load_interpreter(path: str, generator: ImageGenerator, expected: str | None = None) -> tuple[StyleInterpreter, str]:
    """The interpreter and its file's sha256."""
    interpreter = StyleInterpreter.load(path)
    sha256 = hash_of(Path(path))
    if interpreter.generator_sha256 != generator.sha256:
        raise InputError(
            f"{path}: this interpreter reads generator {interpreter.generator_sha256[:12]}..., "
            f"the one given is {generator.sha256[:12]}...; give that generator or train an interpreter for this one"
        )
    if expected not in (None, sha256):
        raise InputError(f"{path}: not the interpreter of this dataset (sha256 {expected[:12]}...): it was replaced")
    if len(interpreter.classes) != interpreter.num_classes:
        raise InputError(f"{path}: names {len(interpreter.classes)} of its {interpreter.num_classes} classes")
    return interpreter, sha256


def hash_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def model_key(kind: str, sha256: str) -> str:
    """Where a store keeps the "interpreter" (or a "regressor") that labelled it, so that any machine can go on."""
    return f"_models/{kind}-{sha256}.safetensors"


def _model_file(job: Job, kind: str, path: str, sha256: str) -> Path:
    """The job's own file where this machine has it, else the store's copy of it, kept in the cache."""
    own = Path(path)
    kept = cache_dir() / f"{kind}s" / f"{sha256}.safetensors"
    for found in (own, kept):
        if found.is_file() and hash_of(found) == sha256:
            return found
    key = model_key(kind, sha256)
    try:
        data = open_store(job.out, job.storage_options or None).backend.read(key)
    except FileNotFoundError:
        raise InputError(
            f"{own}: not the {kind} of this dataset (sha256 {sha256[:12]}...), nor is it in {job.out}"
        ) from None
    if hashlib.sha256(data).hexdigest() != sha256:
        raise WorkError(f"{job.out}/{key} is damaged: run the command that made the store again, it is put back")
    kept.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(kept) as file:
        file.write(data)
    return kept


def put_models(job: Job, store: Store) -> None:
    """Sees that the job's models lie in its store."""
    _put_model(store, "interpreter", job.interpreter, job.spec.interpreter_sha256)
    for kind, name in REGRESSORS.items():
        if sha256 := getattr(job.spec, name):
            _put_model(store, "regressor", job.regressors.get(kind, ""), sha256)


def _put_model(store: Store, kind: str, path: str, sha256: str) -> None:
    key = model_key(kind, sha256)
    stored = store.backend.read_many([key])[0]
    if stored is None or hashlib.sha256(stored).hexdigest() != sha256:
        data = Path(path).read_bytes() if Path(path).is_file() else b""
        if hashlib.sha256(data).hexdigest() != sha256:
            raise InputError(f"{path}: not the {kind} of this dataset (sha256 {sha256[:12]}...)")
        store.backend.write({key: data})
