"""The bytes of a checkpoint, from a path or any fsspec URL, and what they look like where they are none."""

import gzip
import hashlib
import zlib
from dataclasses import dataclass
from pathlib import Path

from labelfactory.errors import InputError

EXPECTED = "expected a generator's checkpoint (.pkl, .pt, .safetensors) or a folder of diffusers"
MOST_UNPACKED = 2**36  # bytes that a gzip file may claim


@dataclass(frozen=True)
class Source:
    """A file: its name, its bytes (unpacked where they were gzipped), and the lower-case sha256 of the file."""

    name: str
    data: bytes
    sha256: str


def read_source(name: str, sha256: str | None = None) -> Source:
    """InputError, in one line that begins with the name, for a file that is missing, unreadable, empty or another."""
    data = _read(name)
    digest = hashlib.sha256(data).hexdigest()
    check_sha256(name, digest, sha256)
    return Source(name, _unpacked(name, data), digest)


def check_sha256(name: str, found: str, expected: str | None) -> None:
    if expected is not None and expected.strip().lower() != found:
        raise InputError(f"{name}: sha256 is {found}, expected {expected}; fetch the file again or correct the sum")


def is_url(name: str) -> bool:
    return "://" in name or "::" in name


def _read(name: str) -> bytes:
    try:
        if is_url(name):
            import fsspec  # a machine that only trains has no need of it

            with fsspec.open(name, "rb") as file:
                data = file.read()
        else:
            data = Path(name).expanduser().read_bytes()
    except FileNotFoundError as error:
        if isinstance(error.__cause__, OSError) and not isinstance(error.__cause__, FileNotFoundError):
            # fsspec says "not found" of a server that does not answer, too
            detail = " ".join(str(error.__cause__).split())[:200]
            raise InputError(f"{name}: cannot be reached ({detail}); try again when its server answers") from None
        raise InputError(f"{name}: no such file; {EXPECTED}") from None
    except IsADirectoryError:
        raise InputError(f"{name}: is a folder; {EXPECTED}") from None
    except ImportError as error:
        raise InputError(f"{name}: this kind of URL needs another package ({error})") from None
    except Exception as error:  # every file system behind fsspec raises its own kinds
        detail = " ".join(str(error).split())[:200]
        raise InputError(f"{name}: cannot be read ({type(error).__name__}: {detail})") from None
    if not data:
        raise InputError(f"{name}: is empty; {EXPECTED}")
    return data


def _unpacked(name: str, data: bytes) -> bytes:
    if data[:2] != b"\x1f\x8b":
        return data
    try:
        stream = zlib.decompressobj(wbits=31)
        unpacked = stream.decompress(data, MOST_UNPACKED)
    except (zlib.error, gzip.BadGzipFile, MemoryError) as error:
        raise InputError(f"{name}: is a damaged gzip file ({' '.join(str(error).split())[:120]})") from None
    if not stream.eof:
        raise InputError(f"{name}: is a gzip file that is cut off")
    return unpacked


def looks_like(data: bytes) -> str:
    """What bytes are that no reader knows, in words."""
    start = data[:64].lstrip().lower()
    if start.startswith((b"<!doctype", b"<html")):
        return "is a web page, not a checkpoint"
    if start.startswith(b"version https://git-lfs"):
        return "is a Git LFS pointer (run git lfs pull), not a checkpoint"
    if data[:8] == b"\x89HDF\r\n\x1a\n":
        return "is an HDF5 file (Keras?), which this program does not read"
    if data[4:8] == b"TFL3":
        return "is a TensorFlow Lite model, which this program does not read"
    return "is not a checkpoint"
