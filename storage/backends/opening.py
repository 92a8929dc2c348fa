"""Backends by the scheme of an address, and the opening of one."""

from typing import Any

from labelfactory.errors import InputError
from labelfactory.lazy import member
from labelfactory.storage.backends.backend import Backend

# scheme ("" for a plain path, "*" for every other): a function of (uri, storage_options) that gives the backend
BACKENDS = {
    "": "labelfactory.storage.backends.local:open_local",
    "file": "labelfactory.storage.backends.local:open_local",
    "local": "labelfactory.storage.backends.local:open_local",
    "*": "labelfactory.storage.backends.remote:RemoteBackend",
}


def open_backend(uri: str, storage_options: dict[str, Any] | None = None) -> Backend:
    """The backend of a path, ``file://`` URI, or any fsspec URL (``s3://``, ``gs://``, ``https://``, ``memory://``)."""
    if not str(uri):
        raise InputError("the store's location is empty: expected a folder or a URL such as s3://bucket/name")
    scheme = str(uri).partition("://")[0] if "://" in str(uri) else ""
    backend: Backend = member(BACKENDS.get(scheme, BACKENDS["*"]))(str(uri), storage_options)
    return backend
