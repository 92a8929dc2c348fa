"""A job for the production line, and the models that it names: loaded once, found on any machine."""

from dataclasses import dataclass, field
from typing import Any

from labelfactory.storage import DatasetSpec


@dataclass(frozen=True)
class Job:
    """An order with everything found and checked; small enough to send to any worker.

    ``regressors``: the file of each kind that the spec has a hash of.
    """

    out: str
    generator: str
    generator_sha256: str
    interpreter: str
    spec: DatasetSpec
    interpreter_reused: bool
    device: str = "auto"
    storage_options: dict[str, Any] = field(default_factory=dict, hash=False)
    regressors: dict[str, str] = field(default_factory=dict, hash=False)
