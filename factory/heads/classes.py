"""From a label set to a trained interpreter, made once for the same labels, generator and settings."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from torch import Tensor

from labelfactory.factory.cache import cache_dir, kept_in
from labelfactory.factory.fields import MEMBERS, SEED
from labelfactory.factory.generator import ImageGenerator
from labelfactory.factory.labels.feature_maps import describe_labels, group_numbers, labelled_features
from labelfactory.factory.parameter import check_fields
from labelfactory.interpreters import Recipe, StyleInterpreter
from labelfactory.interpreters.labelset import LabelSet

TRAINING_VERSION = 2  # counts up whenever the same settings would train other weights


@dataclass(frozen=True)
class InterpreterSettings:
    """What an interpreter depends on beside labels and generator."""

    members: Annotated[int, MEMBERS] = 10
    seed: Annotated[int, SEED] = 0
    recipe: Recipe = field(default_factory=Recipe)

    def __post_init__(self) -> None:
        check_fields(self)


def train_interpreter(
    generator: ImageGenerator, labels: LabelSet, settings: InterpreterSettings, progress: bool = True
) -> StyleInterpreter:
    """Trains an ensemble on the labelled samples of a set (DatasetGAN, arXiv 2104.06490, section 3.2)."""
    labels.check_generator(generator.sha256)
    samples = labelled_features(generator, labels, progress)
    return _trained(samples, generator.feature_channels, describe_labels(generator, labels), settings, progress)


def train_from_recording(path: str | Path, settings: InterpreterSettings, progress: bool = True) -> StyleInterpreter:
    """The same from recorded feature maps, without the generator. InputError for what is no recording."""
    from labelfactory.factory.labels.recording import recorded_attributes, recorded_features  # needs zarr

    attributes = recorded_attributes(path)
    first, _ = next(recorded_features(path))
    return _trained(recorded_features(path), [len(m) for m in first], attributes, settings, progress)


def _trained(
    samples: Iterable[tuple[Sequence[Tensor], Tensor]],
    channels: Sequence[int],
    about: dict[str, Any],
    settings: InterpreterSettings,
    progress: bool,
) -> StyleInterpreter:
    interpreter = StyleInterpreter(channels, len(about["classes"]), members=settings.members)
    # recordings of an earlier release do not tell
    names = about.get("pictures")
    groups = None if names is None else group_numbers(names)
    interpreter.fit(samples, seed=settings.seed, recipe=settings.recipe, progress=progress, groups=groups)
    interpreter.classes = about["classes"]
    interpreter.generator_sha256 = about["generator_sha256"]
    interpreter.extra = {name: about[name] for name in ("labels_sha256", "crop") if name in about}
    return interpreter


class Ensured(NamedTuple):
    """An interpreter and its file. ``reused``: it was there already."""

    path: Path
    reused: bool
    interpreter: StyleInterpreter
    sha256: str


def ensure_interpreter(
    generator: ImageGenerator,
    labels: LabelSet,
    settings: InterpreterSettings | None = None,
    cache: Path | None = None,
    progress: bool = True,
) -> Ensured:
    """The interpreter for these labels, generator and settings, trained where the cache has none."""
    settings = settings or InterpreterSettings()
    labels.check_generator(generator.sha256)
    key = [labels.content_sha256, generator.sha256, asdict(settings), TRAINING_VERSION]
    name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:32]
    path = (cache or cache_dir()) / "interpreters" / f"{name}.safetensors"
    if path.is_file():
        try:
            content = path.read_bytes()
            interpreter = StyleInterpreter.from_bytes(content, str(path))
            return Ensured(path, True, interpreter, hashlib.sha256(content).hexdigest())
        except ValueError:  # damaged: made again below
            path.unlink()
    kept_in("interpreters", cache)  # before the minutes of training
    interpreter = train_interpreter(generator, labels, settings, progress)
    return Ensured(path, False, interpreter, interpreter.save(path))
