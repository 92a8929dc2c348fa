"""Unpacking zips that strangers made: nothing leaves the folder, nothing fills the disk, nothing is overwritten."""

import contextlib
import shutil
import stat
import zipfile
from collections import Counter
from pathlib import Path

from labelfactory.errors import InputError

MAX_UNPACKED = 4 << 30  # bytes
MAX_FILES = 200_000
UTF8 = 0x800  # the flag of a member whose name is UTF-8


def unpack(given: Path, folder: Path) -> None:
    """Put a zip's files into an empty folder. Hidden ones and what macOS adds (``__MACOSX``, ``._name``) are left out.

    InputError for what is no zip, is locked, has links, two files of one name or paths that lead elsewhere, or is
    larger than 4 GiB unpacked.
    """
    try:
        with zipfile.ZipFile(given) as archive:
            members = [(_path(info, given), info) for info in archive.infolist() if not info.is_dir()]
            wanted = [(path, info) for path, info in members if path and not _extra(path)]
            _check(given, folder, wanted)
            for path, info in wanted:
                target = folder / path
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(info) as packed, target.open("xb") as file:
                    shutil.copyfileobj(packed, file)  # ends at the size that the archive says, which was checked
    except InputError:
        raise
    except Exception as error:  # whatever a broken archive makes the unpacking raise
        reason = " ".join(str(error).replace(f"{folder}/", "").split()) or type(error).__name__
        raise InputError(f"{given}: cannot be unpacked ({reason})") from None


def _path(info: zipfile.ZipInfo, given: Path) -> str:
    """A member's path with slashes. macOS writes names in UTF-8 without saying so."""
    name = info.filename
    if not info.flag_bits & UTF8 and not name.isascii():
        with contextlib.suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    name = name.replace("\\", "/")
    if name.startswith("/") or ".." in name.split("/") or name[1:2] == ":":
        raise InputError(f"{given}: has the path {name[:80]!r} in it, which leads elsewhere")
    return "/".join(part for part in name.split("/") if part not in ("", "."))


def _extra(path: str) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in path.split("/"))


def _check(given: Path, folder: Path, members: list[tuple[str, zipfile.ZipInfo]]) -> None:
    if len(members) > MAX_FILES:
        raise InputError(f"{given}: has {len(members)} files; unpack it yourself and give the folder")
    path, times = max(Counter(path for path, _ in members).items(), key=lambda item: item[1], default=("", 0))
    if times > 1:
        raise InputError(f"{given}: has {times} files called {path!r}")
    for path, info in members:
        if stat.S_ISLNK(info.external_attr >> 16):
            raise InputError(f"{given}: {path!r} is a link; pack the files themselves")
        if info.flag_bits & 1:
            raise InputError(f"{given}: {path!r} is locked by a password; pack it without")
    total = sum(info.file_size for _, info in members)
    if total > MAX_UNPACKED:
        raise InputError(f"{given}: unpacks to more than {MAX_UNPACKED >> 30} GiB; unpack it yourself")
    if total > shutil.disk_usage(folder).free:
        raise InputError(f"{given}: unpacks to {total >> 20} MiB, more than is free on the disk of {folder.parent}")
