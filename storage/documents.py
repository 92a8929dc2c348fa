"""Small JSON documents that notice any change to themselves: one canonical byte form, with its own sha256 inside."""

import hashlib
import json
from functools import cache
from typing import Any


def sha256(data: bytes | bytearray | memoryview) -> str:
    return hashlib.sha256(data).hexdigest()


def canonical(document: dict[str, Any]) -> bytes:
    """The one byte form of a document: keys sorted, indented by one space, UTF-8, a newline at the end."""
    return (_text(document, 0) + "\n").encode()


def _text(value: Any, depth: int) -> str:
    """What ``json.dumps(value, sort_keys=True, indent=1)`` gives, ten times as fast: that one never leaves Python, here
    whatever holds no further lists goes to the encoder in C.
    """
    pad, end = "\n" + " " * (depth + 1), "\n" + " " * depth
    if not isinstance(value, (dict, list, tuple)) or not value:
        return _encoder(pad).encode(value)
    inside = value.values() if isinstance(value, dict) else value
    nested = any(isinstance(part, (dict, list, tuple)) for part in inside)
    if isinstance(value, dict):
        if nested:
            parts = (f"{_encoder(pad).encode(key)}: {_text(value[key], depth + 1)}" for key in sorted(value))
            return "{" + pad + ("," + pad).join(parts) + end + "}"
        return "{" + pad + _encoder(pad).encode(value)[1:-1] + end + "}"
    if nested:
        return "[" + pad + ("," + pad).join(_text(part, depth + 1) for part in value) + end + "]"
    return "[" + pad + _encoder(pad).encode(value)[1:-1] + end + "]"


@cache
def _encoder(pad: str) -> json.JSONEncoder:
    return json.JSONEncoder(sort_keys=True, ensure_ascii=False, allow_nan=False, separators=("," + pad, ": "))


def seal(document: dict[str, Any]) -> bytes:
    """Bytes of ``document`` with ``sha256`` added: the hash of the canonical form of everything else."""
    return canonical({**document, "sha256": sha256(canonical(document))})


def unseal(data: bytes) -> dict[str, Any] | None:
    """The sealed document, or None where even one bit of ``data`` differs from what ``seal`` wrote."""
    try:
        document = json.loads(data)
        if not isinstance(document, dict):
            return None
        stated = document.pop("sha256", None)
        # Only keys of the document itself stand behind one space. What is left without this line is what was hashed;
        # to encode all of it again would take ten times as long.
        line = f'\n "sha256": "{stated}",\n'.encode()
        whole = sha256(data.replace(line, b"\n", 1)) == stated if line in data else seal(document) == data
    except (ValueError, RecursionError):
        return None
    return document if whole else None
