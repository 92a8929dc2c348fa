"""The production line: generators, sampling, feature recording, production of shards."""

from typing import TYPE_CHECKING, Any

from labelfactory.errors import InputError, WorkError

if TYPE_CHECKING:
    from labelfactory.factory.families import open_generator
    from labelfactory.factory.generator import Generated, ImageGenerator
    from labelfactory.factory.order import Order
    from labelfactory.factory.production import Job, make_shard, prepare, produce

__all__ = [
    "Generated",
    "ImageGenerator",
    "InputError",
    "Job",
    "Order",
    "WorkError",
    "make_shard",
    "open_generator",
    "prepare",
    "produce",
]

_HOMES: dict[str, tuple[str, ...]] = {
    "generators": ("Generated", "ImageGenerator", "open_generator"),
    "order": ("Order",),
    "production": ("Job", "make_shard", "prepare", "produce"),
}


def __getattr__(name: str) -> Any:
    """Loads the module of a public name when it is first asked for: a training machine has neither zarr nor fsspec."""
    import importlib

    for module, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"labelfactory.factory.{module}"), name)
    raise AttributeError(f"module 'labelfactory.factory' has no attribute {name!r}")
