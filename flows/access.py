"""What a deployed run may touch: its workspace, bundled models and the operator's list. See docs/security.md.

Whoever may start a deployed run chooses its parameters, but the worker reads and writes with the operator's rights.
In a process that somebody starts by hand both are the same person, and nothing is restricted.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from labelfactory.errors import InputError

WORKSPACE, ALLOW = "LABELFACTORY_WORKSPACE", "LABELFACTORY_ALLOW"


@dataclass(frozen=True)
class Access:
    """workspace: folder that relative paths start from; allowed: further folders and URL prefixes."""

    workspace: Path
    allowed: tuple[str, ...] = ()

    @classmethod
    def from_environment(cls) -> "Access":
        """From $LABELFACTORY_WORKSPACE and $LABELFACTORY_ALLOW (prefixes between blanks or commas)."""
        return cls(
            Path(os.environ.get(WORKSPACE) or "datasets").absolute(),
            tuple(os.environ.get(ALLOW, "").replace(",", " ").split()),
        )

    def resolve(self, what: str, given: str) -> str:
        """The path or URL to use; InputError where it is outside of what this worker may touch."""
        if given.startswith("builtin:"):
            return given
        if given.startswith(("file://", "local://")):
            given = given.partition("://")[2]
        if "://" in given or "::" in given:
            self._check_url(what, given)
            return given
        path = (self.workspace / given).resolve()  # symbolic links too
        folders = [self.workspace, *(Path(entry) for entry in self.allowed if "://" not in entry)]
        if not any(path.is_relative_to(folder.resolve()) for folder in folders):
            raise self._refusal(what, given)
        return str(path)

    def _check_url(self, what: str, given: str) -> None:
        """Whole path segments of a prefix have to agree; nothing that a client might read in another way passes."""
        try:
            url = urlsplit(given)
            hidden = "::" in given or "%" in given or "\\" in given or url.query or url.fragment or url.username
        except ValueError:
            raise self._refusal(what, given) from None
        segments = url.path.split("/")
        for prefix in self.allowed:
            allowed = urlsplit(prefix)
            start = allowed.path.rstrip("/").split("/")
            same = (url.scheme, url.netloc) == (allowed.scheme, allowed.netloc) and segments[: len(start)] == start
            if same and not hidden and "." not in segments and ".." not in segments:
                return
        raise self._refusal(what, given)

    def _refusal(self, what: str, given: str) -> InputError:
        return InputError(
            f"{what} is {given}: this worker may use its workspace {self.workspace}, builtin: models and what its "
            f"operator lists in {ALLOW} ({', '.join(self.allowed) or 'nothing yet'})"
        )


def permitted_path(what: str, given: str) -> str:
    """``given`` as it is in a run that was started by hand, checked and made absolute in a deployed one."""
    from prefect import runtime

    if not given:
        raise InputError(f"{what} is empty: expected a name, path or URL")
    return given if runtime.deployment.id is None else Access.from_environment().resolve(what, given)


def permitted(what: str, given: str | None) -> str | None:
    """The same for what may be left out."""
    return None if given is None else permitted_path(what, given)
