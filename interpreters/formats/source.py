"""Where labels come from: a file, a folder or a zip of one, with the files in it that count."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from labelfactory.errors import InputError
from labelfactory.interpreters.checked_json import read_json, top_level
from labelfactory.interpreters.formats.unpacking import unpack

KEPT_BYTES = 1 << 28  # of JSON files whose content is kept, as several formats look at it


class Source:
    """A file or folder of labels.

    Attributes:
        path: the file or folder; of a zip, the temporary folder that it is unpacked in.
        given: what the person gave.
    """

    def __init__(self, path: Path, given: Path | None = None, unpacked_in: Path | None = None) -> None:
        self.path = path
        self.given = given or path
        self._unpacked_in = unpacked_in
        self._parsed: dict[Path, Any] = {}
        self._room = KEPT_BYTES
        self._listed: dict[tuple[Path, bool], list[Path]] = {}
        self.troubles: list[str] = []

    def files(self, *suffixes: str, under: str = "", deep: bool = False) -> list[Path]:
        """Files with one of these suffixes (lower case, any case is found), sorted; of the source itself if a file.

        Arguments:
            under: folder inside the source, in any case of letters; none such: no files.
            deep: also those in folders below.

        Hidden files and what macOS puts beside others (``__MACOSX``, ``._name``) are left out.
        """
        if not self.path.is_dir():
            return [self.path] if not under and self.path.suffix.lower() in suffixes else []
        root = self.folder(under) if under else self.path
        if root is None:
            return []
        if (root, deep) not in self._listed:  # every format asks
            found = root.rglob("*") if deep else root.iterdir()
            inside = (p for p in found if _counts(p.relative_to(root)) and p.is_file())
            self._listed[root, deep] = sorted(inside, key=lambda p: p.relative_to(root).as_posix())
        return [p for p in self._listed[root, deep] if p.suffix.lower() in suffixes]

    def folder(self, name: str) -> Path | None:
        """The folder of this name (``a/b`` for one inside another) in the source, in any case of letters, or None."""
        here = self.path
        for part in name.split("/"):
            if not here.is_dir():
                return None
            exact, folded = here / part, [p for p in here.iterdir() if p.name.casefold() == part.casefold()]
            inside = exact if exact.is_dir() else next((p for p in sorted(folded) if p.is_dir()), None)
            if inside is None:
                return None
            here = inside
        return here

    def file(self, name: str) -> Path | None:
        """The file of this name (``a/b`` for one inside a folder) in the source, in any case of letters, or None."""
        parent, _, last = name.rpartition("/")
        root = self.folder(parent) if parent else self.path
        if root is None or not root.is_dir():
            return None
        exact = root / last
        return exact if exact.is_file() else next(
            (p for p in sorted(root.iterdir()) if p.name.casefold() == last.casefold() and p.is_file()), None
        )  # fmt: skip

    def only(self, suffix: str, title: str) -> Path:
        """The source's one file of this suffix, at any depth. InputError where there are several or none."""
        found = self.files(suffix, deep=True)
        if len(found) != 1:
            kind = suffix.removeprefix(".").upper()
            raise InputError(f"{self.path}: has {len(found)} {kind} files; name the one that holds {title}")
        return found[0]

    def json(self, path: Path, expected: type = object) -> Any:
        """The parsed file, read once if small. InputError where it is not JSON or its top level is not ``expected``."""
        data = self._parsed[path] if path in self._parsed else read_json(path, object)
        if path not in self._parsed and (size := path.stat().st_size) <= self._room:
            self._parsed[path] = data
            self._room -= size
        return top_level(data, expected, path)

    def peek(self, path: Path) -> Any:
        """The parsed file, None where it is not JSON; the reason is then in ``troubles``, for who finds no format."""
        try:
            return self.json(path)
        except InputError as error:
            if str(error) not in self.troubles:
                self.troubles.append(str(error))
            return None

    def said(self, text: str) -> str:
        """``text`` with the file that the person gave instead of the temporary folder that it was unpacked in."""
        return text if self._unpacked_in is None else text.replace(str(self._unpacked_in), str(self.given))


def _counts(path: Path) -> bool:
    return not any(part.startswith(".") or part == "__MACOSX" for part in path.parts)


@contextmanager
def opened(given: Path) -> Iterator[Source]:
    """The file or folder itself, or what a zip holds, in a folder that is there for the moment.

    InputErrors raised inside name the zip where they named the temporary folder.
    """
    if not given.exists():
        raise InputError(f"{given}: no such file or folder; expected labels there")
    if given.suffix.lower() != ".zip" or given.is_dir():
        yield Source(_innermost(given), given)
        return
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        unpack(given, root)
        source = Source(_innermost(root), given, root)
        try:
            yield source
        except InputError as error:
            raise InputError(source.said(str(error))) from None


def _innermost(root: Path) -> Path:
    """The folder that holds more than one other: tools differ in whether they give the folder or what is in it."""
    while root.is_dir():
        inner = [p for p in root.iterdir() if _counts(p.relative_to(root))]
        if len(inner) != 1 or not inner[0].is_dir() or inner[0].name.casefold() in SPEAKING:
            break
        root = inner[0]
    return root


SPEAKING = {"segmentationclass", "segmentationclasspng"}
"""Folders whose name says what they are, even when a zip holds nothing else."""
