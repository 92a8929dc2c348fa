"""Options that make each network of objects small enough for a test."""

from typing import Any

TINY: dict[str, dict[str, Any]] = {
    "panoptic-deeplab": {"width": 8, "depth": 2},
}
