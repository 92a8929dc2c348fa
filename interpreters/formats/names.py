"""What an image may be called in a label set: tools add prefixes and endings to the names of files."""

import re
import unicodedata
from collections.abc import Callable, Iterable
from pathlib import PureWindowsPath

from labelfactory.interpreters.labelset import LabelSet

_UPLOAD = re.compile(r"^[0-9a-f]{8}-(?=.)")  # Label Studio puts it before the name of an uploaded file
_ROBOFLOW = re.compile(r"(?:_(?:jpe?g|png|bmp|tiff?|webp|gif|mpo|avif|heic))?\.rf\.[0-9A-Za-z]{16,}$", re.IGNORECASE)

_SUFFIX = re.compile(r"^\.[A-Za-z]{2,5}\d?$")


def image_names(address: str, ending: str = "") -> tuple[str, ...]:
    """Names of the sample that a file at ``address`` (path with either slash) may be of, the likeliest first.

    The file's stem as it is; without ``ending``, which a format adds to it (``_mask``); without Label Studio's upload
    prefix (``1a2b3c4d-cat`` is ``cat``); without what Roboflow appends (``cat_jpg.rf.0123456789abcdef`` is ``cat``);
    the whole name, where what looks like a suffix is none.
    """
    path = PureWindowsPath(address)
    names = [path.stem]
    if ending and path.stem.endswith(ending):
        names.insert(0, path.stem.removesuffix(ending))
    for name in list(names):
        plain = _UPLOAD.sub("", name)
        names += [plain, _ROBOFLOW.sub("", plain)]
    if not _SUFFIX.match(path.suffix):
        names.append(path.name)
    return tuple(dict.fromkeys(n for n in names if n))


def image_size(labels: LabelSet) -> tuple[int, int]:
    """(height, width) of a label set's images, which all have one size; what is in parts of it needs it."""
    first = next(iter(labels), None)
    return (1, 1) if first is None else (first.image.shape[0], first.image.shape[1])


def sample_finder(labels: LabelSet) -> Callable[[Iterable[str]], str | None]:
    """What finds the name of the sample that is called by one of several names; None where none is.

    Unicode's forms count as the same: macOS decomposes names of files.
    """
    exact = {s.name for s in labels}
    composed = {unicodedata.normalize("NFC", name): name for name in exact}

    def find(names: Iterable[str]) -> str | None:
        found = (n if n in exact else composed.get(unicodedata.normalize("NFC", n)) for n in names)
        return next((n for n in found if n is not None), None)

    return find
