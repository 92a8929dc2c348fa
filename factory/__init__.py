"""The production line: generators, labels, heads, production of shards, segmenters and their evaluation."""

from typing import TYPE_CHECKING

from labelfactory.errors import InputError, WorkError
from labelfactory.lazy import face

if TYPE_CHECKING:
    from labelfactory.factory.families import open_generator
    from labelfactory.factory.generator import Generated, ImageGenerator
    from labelfactory.factory.production.job import Job
    from labelfactory.factory.production.line import make_shards, produce
    from labelfactory.factory.production.live import LiveDataset, live
    from labelfactory.factory.production.order import Order
    from labelfactory.factory.production.prepare import prepare

__all__ = [
    "Generated",
    "ImageGenerator",
    "InputError",
    "Job",
    "LiveDataset",
    "Order",
    "WorkError",
    "live",
    "make_shards",
    "open_generator",
    "prepare",
    "produce",
]

# Loaded when asked for: a training machine has neither zarr nor fsspec.
__getattr__, __dir__ = face(
    __name__,
    {
        "labelfactory.factory.families": ("open_generator",),
        "labelfactory.factory.generator": ("Generated", "ImageGenerator"),
        "labelfactory.factory.production.job": ("Job",),
        "labelfactory.factory.production.line": ("make_shards", "produce"),
        "labelfactory.factory.production.live": ("LiveDataset", "live"),
        "labelfactory.factory.production.order": ("Order",),
        "labelfactory.factory.production.prepare": ("prepare",),
    },
)
