"""The files of a training set: a folder, a zip, or a URL of either, as names and a way to read each."""

import os
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from labelfactory.errors import InputError
from labelfactory.interpreters.pictures import SUFFIXES

Reader = Callable[[str], bytes]


def open_source(source: str) -> tuple[list[str], Reader]:
    """Names of all files below ``source``, sorted, and a function from name to bytes.

    A zip behind a URL is fetched whole into a temporary file. Raises ``InputError`` for what is neither.
    """
    if "://" in source:
        return _open_url(source)
    path = Path(source).expanduser()
    if path.is_dir():
        names = [file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file()]
        return _visible(names), lambda name: (path / name).read_bytes()
    if path.is_file():
        return _open_zip(source, path)
    raise InputError(f"{source}: no such folder or zip of images")


def is_image(name: str) -> bool:
    return name.lower().endswith(SUFFIXES)


def _visible(names: list[str]) -> list[str]:
    """Without what operating systems leave behind."""
    return sorted(n for n in names if not any(p.startswith((".", "__MACOSX")) for p in PurePosixPath(n).parts))


def _open_zip(source: str, file: str | os.PathLike[str]) -> tuple[list[str], Reader]:
    try:
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, OSError) as error:
        raise InputError(f"{source}: is neither a folder nor a readable zip ({error})") from None
    names = [info.filename for info in archive.infolist() if not info.is_dir()]
    return _visible(names), archive.read


def _open_url(source: str) -> tuple[list[str], Reader]:
    try:
        import fsspec
    except ImportError:
        raise InputError(f"{source}: URLs need the package fsspec; give a local folder or zip") from None
    try:
        files, root = fsspec.core.url_to_fs(source)
        if not files.isdir(root):
            # The open archive stays readable after its folder is removed, until the process ends.
            with tempfile.TemporaryDirectory() as folder:
                files.get_file(root, os.path.join(folder, "images.zip"))
                return _open_zip(source, os.path.join(folder, "images.zip"))
        found = {path.removeprefix(root.rstrip("/") + "/"): path for path in files.find(root)}
    except InputError:
        raise
    except Exception as error:  # every file system behind fsspec raises its own kinds
        detail = " ".join(str(error).split())[:200]
        raise InputError(f"{source}: cannot be read ({type(error).__name__}: {detail})") from None
    return _visible(list(found)), lambda name: files.cat_file(found[name])
