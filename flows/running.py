"""The note that a running ``factory up`` leaves in Prefect's home, so that other commands find its server."""

import json
import os
from pathlib import Path

from labelfactory.errors import InputError
from labelfactory.factory.cache import home
from labelfactory.factory.taking import try_output

OWN = Path(__file__).with_name("prefect.yaml")  # the package's own deployments


def prefect_home() -> Path:
    """Prefect's folder. InputError where nothing can be written there: its own database would say so in pages."""
    folder = Path(os.environ.get("PREFECT_HOME") or home() / ".prefect").expanduser()
    try:
        try_output("PREFECT_HOME", str(folder), "folder")
    except InputError as error:
        raise InputError(f"Prefect keeps its database in {error}: set PREFECT_HOME") from None
    return folder


def note_path() -> Path:
    folder = os.environ.get("PREFECT_HOME") or "~/.prefect"
    return Path(os.path.expanduser(folder)) / "labelfactory-up.json"


def leave_note(api_url: str) -> None:
    path = note_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"pid": os.getpid(), "api_url": api_url}))


def remove_note() -> None:
    note_path().unlink(missing_ok=True)


def running_api_url() -> str | None:
    """None where no ``factory up`` of this user is alive."""
    try:
        note = json.loads(note_path().read_text())
        os.kill(int(note["pid"]), 0)
        return str(note["api_url"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
