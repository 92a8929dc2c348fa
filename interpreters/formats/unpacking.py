"""Labels arrive as a file, a folder or a zip of one."""

import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from labelfactory.errors import InputError

MAX_UNPACKED = 4 << 30


@contextmanager
def unpacked(source: Path) -> Iterator[Path]:
    """The file or folder itself, or what a zip holds, in a folder that is there for the moment."""
    if not source.exists():
        raise InputError(f"{source}: no such file or folder; expected labels there")
    if source.suffix.lower() != ".zip":
        yield source
        return
    with tempfile.TemporaryDirectory() as folder:
        try:
            with zipfile.ZipFile(source) as archive:
                if sum(i.file_size for i in archive.infolist()) > MAX_UNPACKED:
                    raise InputError(f"{source}: unpacks to more than {MAX_UNPACKED >> 30} GiB; unpack it yourself")
                archive.extractall(folder)  # cleans member names of .. and absolute paths
        except InputError:
            raise
        except Exception as error:  # whatever a broken archive makes the unpacking raise
            raise InputError(f"{source}: cannot be unpacked ({' '.join(str(error).split())})") from None
        root = Path(folder)
        inner = list(root.iterdir())
        # tools differ in whether a zip holds the folder or what is in it
        while len(inner) == 1 and inner[0].is_dir() and inner[0].name != "SegmentationClass":
            root = inner[0]
            inner = list(root.iterdir())
        yield root
