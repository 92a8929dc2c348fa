"""Models that come with the package: ``builtin:NAME``."""

from importlib import resources
from pathlib import Path

from labelfactory.errors import InputError

BUILTIN = "builtin:"


def builtin_names() -> list[str]:
    """Names that may follow ``builtin:``."""
    root = resources.files("labelfactory.factory") / "models"
    return sorted(entry.name for entry in root.iterdir() if entry.is_dir()) if root.is_dir() else []


def builtin_path(uri: str, part: str) -> Path:
    """The file or folder ``part`` of the bundled model ``builtin:NAME``; InputError lists the names that exist."""
    name = uri.removeprefix(BUILTIN)
    if name not in builtin_names():
        known = ", ".join(BUILTIN + n for n in builtin_names()) or "none"
        raise InputError(f"{uri}: no such bundled model; expected {known}, or a path or URL of a checkpoint")
    return Path(str(resources.files("labelfactory.factory") / "models" / name / part))
