"""The folder of what is made once and kept."""

import os
from pathlib import Path


def cache_dir() -> Path:
    """Where trained interpreters are kept: $LABELFACTORY_CACHE, else the user's cache folder."""
    if chosen := os.environ.get("LABELFACTORY_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "labelfactory"
