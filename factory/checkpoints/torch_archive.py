"""Files of ``torch.save``: a zip with a pickle and the tensors' numbers, or (before torch 1.6) pickles in a row."""

import io
import struct
import zipfile
from collections.abc import Callable
from typing import Any

from labelfactory.errors import InputError
from labelfactory.factory.checkpoints.passive_pickle import STORAGES, StorageRecord, read_pickle

_MAGIC = 0x1950A86A20F9469CFC6C  # the first pickle of the older form
_MOST_NUMBERS = 2**40


def is_old_archive(data: bytes) -> bool:
    """Whether bytes begin as ``torch.save`` did before torch 1.6."""
    return data[:13] in (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P", b"\x80\x04\x8a\nl\xfc\x9cF\xf9 j\xa8P")


def read_archive(data: bytes) -> Any:
    """What ``torch.save`` was given, read passively. Raises ``InputError`` for another or a damaged zip."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
        names = {info.filename: info for info in archive.infolist()}
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
        raise InputError(f"is a zip archive that cannot be read ({' '.join(str(error).split())[:80]})") from None
    pickles = [name for name in names if name.endswith("data.pkl") and name.count("/") <= 1]
    if any("/code/" in name for name in names):
        raise InputError("is a TorchScript archive (a program, not weights); save the network's state_dict() instead")
    if len(pickles) != 1:
        raise InputError("is a zip archive, but none of torch.save; unpack it and name the checkpoint in it")
    prefix = pickles[0].removesuffix("data.pkl")
    if any(info.file_size > len(data) for info in names.values()):  # torch.save does not compress
        raise InputError("is a zip archive whose parts claim more bytes than the file has")

    def entry(name: str) -> bytes:
        try:
            return archive.read(name)
        except KeyError:
            raise InputError(f"checkpoint is damaged: its archive lacks {name}") from None
        except (zipfile.BadZipFile, OSError, ValueError, RuntimeError, NotImplementedError, EOFError) as error:
            raise InputError(f"checkpoint is damaged: {name} ({' '.join(str(error).split())[:80]})") from None

    def storage_of(pid: Any) -> StorageRecord:
        dtype, key, _ = _storage_id(pid)
        return StorageRecord(lambda: entry(f"{prefix}data/{key}"), dtype)

    return read_pickle(entry(pickles[0]), storage_of)


def read_old_archive(data: bytes) -> Any:
    """Like ``read_archive``, for the older form: magic number, version, machine, the object, keys, numbers."""
    stream = io.BytesIO(data)
    if read_pickle(stream) != _MAGIC:
        raise InputError("checkpoint is damaged: it begins like a file of torch.save and is none")
    read_pickle(stream)
    read_pickle(stream)
    begin = stream.tell()
    sizes: dict[str, tuple[Any, int]] = {}

    def note(pid: Any) -> StorageRecord:
        dtype, key, count = _storage_id(pid)
        if count * dtype.itemsize > len(data):
            raise InputError("checkpoint is truncated: it ends before its tensors do")
        sizes[key] = (dtype, count)
        return StorageRecord(lambda: bytes(count * dtype.itemsize), dtype)

    read_pickle(stream, note)  # once for the sizes alone: the numbers' places follow from them
    keys = read_pickle(stream)
    if not isinstance(keys, list) or any(key not in sizes for key in keys):
        raise InputError("checkpoint is damaged: the list of its tensors' storages")
    places, at = dict[str, tuple[int, int]](), stream.tell()
    for key in keys:
        dtype, _ = sizes[key]
        if at + 8 > len(data):
            raise InputError("checkpoint is truncated: it ends before its tensors do")
        (count,) = struct.unpack("<q", data[at : at + 8])
        places[key] = (at + 8, count * dtype.itemsize)
        at += 8 + max(0, count) * dtype.itemsize
    stream.seek(begin)
    return read_pickle(stream, _reader(data, places))


def _reader(data: bytes, places: dict[str, tuple[int, int]]) -> Callable[[Any], StorageRecord]:
    def storage_of(pid: Any) -> StorageRecord:
        dtype, key, _ = _storage_id(pid)
        begin, size = places.get(key, (0, 0))
        return StorageRecord(lambda: data[begin : begin + size], dtype)

    return storage_of


def _storage_id(pid: Any) -> tuple[Any, str, int]:
    """Type, key and number of elements from what torch writes: ("storage", type, key, device, count, ...)."""
    name = getattr(pid[1], "name", "") if isinstance(pid, tuple) and len(pid) >= 5 and pid[0] == "storage" else ""
    if name not in STORAGES or not isinstance(pid[2], str) or not str(pid[2]).isalnum():
        raise InputError("checkpoint refused: it asks for an object outside the file (persistent id)")
    if type(pid[4]) is not int or not 0 <= pid[4] < _MOST_NUMBERS:
        raise InputError("checkpoint refused: a tensor's storage of an impossible size")
    return STORAGES[name], pid[2], pid[4]
