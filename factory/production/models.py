"""The models that a job names: loaded once, found on any machine."""

import hashlib
import threading
from collections import OrderedDict
from pathlib import Path
from typing import NamedTuple

from labelfactory.errors import InputError, WorkError
from labelfactory.factory.cache import cache_dir
from labelfactory.factory.families import open_generator
from labelfactory.factory.generator import ImageGenerator
from labelfactory.factory.heads.head import Head, load_head
from labelfactory.factory.heads.table import head_of
from labelfactory.factory.production.job import Job
from labelfactory.interpreters import StyleInterpreter
from labelfactory.interpreters.crop import Crop
from labelfactory.interpreters.regression import FeatureRegressor
from labelfactory.storage.metadata import model_path
from labelfactory.whole_files import whole_file

KEPT = 2  # jobs whose models a process keeps loaded


class Models(NamedTuple):
    """What makes a job's samples: a model for each of the spec's label kinds, None where a kind does without."""

    generator: ImageGenerator
    interpreter: StyleInterpreter
    heads: list[tuple[Head, FeatureRegressor | None]]


_LOADING = threading.Lock()  # one thread loads; the others wait and share the result
_LOADED: OrderedDict[Job, Models] = OrderedDict()


def models_of(job: Job) -> Models:
    """Loaded once in a worker process, however many shards it makes."""
    with _LOADING:
        models = _LOADED.pop(job, None) or _load_models(job)
        return _keep(job, models)


def remember(job: Job, models: Models) -> None:
    """Models that are open already need not be loaded again by this process."""
    with _LOADING:
        _keep(job, models)


def forget_models() -> None:
    """Frees what is kept."""
    with _LOADING:
        _LOADED.clear()


def _keep(job: Job, models: Models) -> Models:
    _LOADED[job] = models
    while len(_LOADED) > KEPT:
        _LOADED.popitem(last=False)
    return models


def _load_models(job: Job) -> Models:
    spec = job.spec
    generator = open_generator(spec.generator, job.device, spec.generator_sha256)
    path, content = model_file(job, "interpreter", job.interpreter, spec.interpreter_sha256)
    interpreter = StyleInterpreter.from_bytes(content, str(path))
    check_interpreter(interpreter, str(path), generator)
    heads: list[tuple[Head, FeatureRegressor | None]] = []
    for name, sha256 in spec.heads.items():
        head, model = head_of(name), None
        if sha256:
            path, content = model_file(job, "regressor", job.heads.get(name, ""), sha256)
            model = load_head(content, str(path), generator, head)
        elif head.needs_model:
            raise InputError(f"{job.out}: does not say which model made its {name}; they cannot be made again")
        heads.append((head, model))
    return on_device(generator.cropped(Crop.of(spec.crop)), interpreter, heads)


def on_device(
    generator: ImageGenerator, interpreter: StyleInterpreter, heads: list[tuple[Head, FeatureRegressor | None]]
) -> Models:
    """All of them where the generator is, ready to make samples."""
    device = generator.device
    moved = [(head, None if model is None else model.to(device)) for head, model in heads]
    return Models(generator.replayed(), interpreter.to(device), moved)


def check_interpreter(interpreter: StyleInterpreter, where: str, generator: ImageGenerator) -> None:
    """InputError, begun by ``where``, unless it reads this generator and knows its classes."""
    if interpreter.generator_sha256 != generator.sha256:
        raise InputError(
            f"{where}: this interpreter reads generator {interpreter.generator_sha256[:12]}..., "
            f"the one given is {generator.sha256[:12]}...; give that generator or train an interpreter for this one"
        )
    if len(interpreter.classes) != interpreter.num_classes:
        raise InputError(f"{where}: names {len(interpreter.classes)} of its {interpreter.num_classes} classes")


def model_file(job: Job, kind: str, path: str, sha256: str) -> tuple[Path, bytes]:
    """The job's own file where this machine has it, else the store's copy of it, kept in the cache."""
    own = Path(path)
    kept = cache_dir() / f"{kind}s" / f"{sha256}.safetensors"
    for found in (own, kept):
        if found.is_file() and hashlib.sha256(content := found.read_bytes()).hexdigest() == sha256:
            return found, content
    from labelfactory.storage import open_store  # a machine that only makes pairs has no backends

    key = model_path(kind, sha256)
    try:
        content = open_store(job.out, job.storage_options or None).backend.read(key)
    except FileNotFoundError:
        raise InputError(
            f"{own}: not the {kind} of this dataset (sha256 {sha256[:12]}...), nor is it in {job.out}"
        ) from None
    if hashlib.sha256(content).hexdigest() != sha256:
        raise WorkError(f"{job.out}/{key} is damaged: run the command that made the store again, it is put back")
    kept.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(kept) as file:
        file.write(content)
    return kept, content
