"""Files that appear whole or not at all."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from labelfactory.errors import WorkError


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Written beside, flushed and renamed: a kill at any moment leaves the old file or the new one.

    Raises ``WorkError`` where the disk refuses; the old file is then still there.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise WorkError(f"{path}: cannot be written ({error.strerror})") from None
