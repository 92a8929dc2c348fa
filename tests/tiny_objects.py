"""Options that make each network of objects small enough for a test."""

from typing import Any

TINY: dict[str, dict[str, Any]] = {
    "panoptic-deeplab": {"width": 8, "depth": 2},
    "centernet": {"width": 8, "depth": 2},
    "cornernet": {"width": 8, "depth": 2},
    "yolact": {"width": 8, "depth": 2, "prototypes": 4},
    "upsnet": {"width": 8, "depth": 2, "prototypes": 4},
    "hourglass": {"stacks": 2, "features": 8, "depth": 2},
    "integral-regression": {"width": 8, "depth": 2},
}
