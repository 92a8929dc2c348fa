"""The folder of what is made once and kept."""

import os
from pathlib import Path

from labelfactory.errors import InputError
from labelfactory.factory.taking import try_output

VARIABLE = "LABELFACTORY_CACHE"


def cache_dir() -> Path:
    """Where trained interpreters and encoders are kept: $LABELFACTORY_CACHE, else the user's cache folder."""
    if chosen := os.environ.get(VARIABLE):
        return Path(chosen)
    if chosen := os.environ.get("XDG_CACHE_HOME"):
        return Path(chosen) / "labelfactory"
    return home() / ".cache" / "labelfactory"


def home() -> Path:
    """The user's home folder; InputError where there is none, since a stranger's place is none to keep things in."""
    told = f"set HOME, or {VARIABLE} and PREFECT_HOME, to folders to keep"
    try:
        found = Path.home()
    except RuntimeError:
        raise InputError(f"this user has no home folder: {told}") from None
    if not found.is_dir():
        raise InputError(f"the home folder {found} does not exist: {told}")
    return found


def kept_in(part: str, cache: Path | None = None) -> Path:
    """The folder of the cache for ``part``, made and tried before the work; InputError where nothing can be kept."""
    folder = (cache or cache_dir()) / part
    try:
        try_output(VARIABLE, str(folder), "folder")
        folder.mkdir(parents=True, exist_ok=True)
    except (InputError, OSError):
        raise InputError(
            f"{folder}: nothing can be kept there; set {VARIABLE} to a folder that can be written"
        ) from None
    return folder
