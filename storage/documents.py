"""Small JSON documents that notice any change to themselves: one canonical byte form, with its own sha256 inside."""

import hashlib
import json
from typing import Any


def sha256(data: bytes | bytearray | memoryview) -> str:
    return hashlib.sha256(data).hexdigest()


def canonical(document: dict[str, Any]) -> bytes:
    """The one byte form of a document: keys sorted, indented by one space, UTF-8, a newline at the end."""
    return (json.dumps(document, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def seal(document: dict[str, Any]) -> bytes:
    """Bytes of ``document`` with ``sha256`` added: the hash of the canonical form of everything else."""
    return canonical({**document, "sha256": sha256(canonical(document))})


def unseal(data: bytes) -> dict[str, Any] | None:
    """The sealed document, or None where even one bit of ``data`` differs from what ``seal`` wrote."""
    try:
        document = json.loads(data)
        # Comparing the re-encoded bytes also catches what parsing forgives: white space, escapes, repeated keys.
        if not isinstance(document, dict) or canonical(document) != data:
            return None
    except (ValueError, RecursionError):
        return None
    stated = document.pop("sha256", None)
    return document if stated == sha256(canonical(document)) else None
