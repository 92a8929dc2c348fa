"""The backend of a path or URL."""

from typing import Any

from labelfactory.errors import InputError
from labelfactory.storage.backends.backend import Backend


def open_backend(uri: str, storage_options: dict[str, Any] | None = None) -> Backend:
    """The backend of a path, ``file://`` URI, or any fsspec URL (``s3://``, ``gs://``, ``https://``, ``memory://``)."""
    if not str(uri):
        raise InputError("the store's location is empty: expected a folder or a URL such as s3://bucket/name")
    scheme, separator, rest = str(uri).partition("://")
    if not separator or scheme in ("file", "local"):
        from labelfactory.storage.backends.local import LocalBackend

        return LocalBackend(rest if separator else str(uri))
    from labelfactory.storage.backends.remote import RemoteBackend

    return RemoteBackend(str(uri), storage_options)
