"""A storage backend of one file: folders under one that the environment names."""

import os
from pathlib import Path
from typing import Any

from labelfactory.storage.backends.local import LocalBackend


def open_toy(uri: str, storage_options: dict[str, Any] | None) -> LocalBackend:
    return LocalBackend(Path(os.environ["TOY_STORES"]) / uri.partition("://")[2])
