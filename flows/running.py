"""The note that a running ``factory up`` leaves in Prefect's home, so that other commands find its server."""

import json
import os
from pathlib import Path

OWN = Path(__file__).with_name("prefect.yaml")  # the package's own deployments


def note_path() -> Path:
    home = os.environ.get("PREFECT_HOME") or Path.home() / ".prefect"
    return Path(home).expanduser() / "labelfactory-up.json"


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
