"""Generators and discriminators in files: loads official ``.pkl`` and our ``.safetensors``, writes the latter.

The format is told from the content, not from the name. Nothing in a file is ever executed (``official_pickle``).

Our file is a plain safetensors file. Tensors are named ``generator.<name>`` and ``discriminator.<name>`` with the
official parameter names; its header has one text, ``labelfactory``, a JSON object with ``format`` (1), ``generator``
and ``discriminator`` (the networks' configs) and ``metadata`` (free: data, licence, images seen …).
"""

import hashlib
import json
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from labelfactory.errors import InputError
from labelfactory.factory.stylegan2_ada.config import DiscriminatorConfig, NetworkConfig
from labelfactory.factory.stylegan2_ada.networks import Discriminator, Generator
from labelfactory.factory.stylegan2_ada.official_networks import discriminator_config, generator_config, named_tensors
from labelfactory.factory.stylegan2_ada.official_pickle import ModuleRecord, read_official_pickle
from labelfactory.whole_files import whole_file

Network = TypeVar("Network", bound=nn.Module)
HEADER = "labelfactory"
EXPECTED = "expected an official StyleGAN2-ADA .pkl or a labelfactory .safetensors"


@dataclass(frozen=True)
class Checkpoint:
    """What a file held.

    generator      moving average of the generator's weights (``G_ema``), float32, in eval mode, without gradients
    discriminator  likewise, or None where the file has none that this implementation knows
    sha256         of the whole file, lower-case hexadecimal
    config         of the generator
    metadata       the file's own, and ``format``: "official" or "labelfactory"
    trained        the weights that the average follows (``G`` of an official file), where they were asked for
    """

    generator: Generator
    discriminator: Discriminator | None
    sha256: str
    config: NetworkConfig
    metadata: dict[str, Any] = field(default_factory=dict)
    trained: Generator | None = None


def load_checkpoint(uri: str | os.PathLike[str], sha256: str | None = None, for_training: bool = False) -> Checkpoint:
    """Loads a generator (and its discriminator) from a path or any fsspec URL.

    ``sha256`` (hexadecimal, either case), where given, must be that of the file: it is compared before anything is
    parsed. ``for_training`` also loads the weights that are not averaged, and refuses a discriminator of another
    kind, which is passed over otherwise. Raises ``InputError``, in one line that begins with the uri, for a missing,
    unreadable, truncated, hostile or mismatched file.
    """
    name = os.fspath(uri)
    data = _read(name)
    digest = hashlib.sha256(data).hexdigest()
    if sha256 is not None and sha256.strip().lower() != digest:
        raise InputError(f"{name}: sha256 is {digest}, expected {sha256}; fetch the file again or correct the sum")
    try:
        if data[:1] == b"\x80" and data[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
            top = read_official_pickle(data)
            generator, discriminator, metadata = _from_official(top, for_training)
            trained = _official_generator(top, "G") if for_training and isinstance(top.get("G"), ModuleRecord) else None
        elif len(data) > 9 and data[8:9] == b"{":
            generator, discriminator, metadata = _from_safetensors(data)
            trained = None
        else:
            raise InputError(f"{_looks_like(data)}; {EXPECTED}")
    except InputError as error:
        raise InputError(f"{name}: {error}") from None
    config = NetworkConfig.from_dict(generator.config)
    return Checkpoint(generator, discriminator, digest, config, metadata, trained)


def save_safetensors(
    path: str | os.PathLike[str],
    generator: Generator,
    discriminator: Discriminator | None = None,
    metadata: Mapping[str, Any] | None = None,
    dtype: torch.dtype = torch.float32,
) -> str:
    """Writes the networks and returns the file's sha256. The same networks and metadata give the same bytes.

    ``dtype`` float16 halves the file (relative error of a weight below 5e-4). The file appears whole or not at all.
    Raises ``InputError`` for metadata that is no JSON or weights that are not finite, ``WorkError`` where the disk
    refuses.
    """
    if dtype not in (torch.float16, torch.float32):
        raise InputError(f"dtype {dtype}: expected torch.float16 or torch.float32")
    networks: dict[str, Generator | Discriminator] = {"generator": generator}
    if discriminator is not None:
        networks["discriminator"] = discriminator
    tensors: dict[str, Tensor] = {}
    header: dict[str, Any] = {"format": 1, "metadata": dict(metadata or {})}
    for part, network in networks.items():
        header[part] = network.config
        for key, value in network.state_dict().items():
            stored = value.detach().to(device="cpu", dtype=dtype).contiguous()
            if not stored.isfinite().all():
                raise InputError(f"{part}.{key} is not finite in {dtype}; nothing was written")
            tensors[f"{part}.{key}"] = stored
    try:
        text = json.dumps(header, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"checkpoint metadata cannot be written as JSON: {error}") from None
    data = safetensors.torch.save(tensors, metadata={HEADER: text})
    with whole_file(Path(path)) as file:
        file.write(data)
    return hashlib.sha256(data).hexdigest()


def _read(name: str) -> bytes:
    try:
        if "://" in name or "::" in name:
            import fsspec  # a machine that only trains has no need of it

            with fsspec.open(name, "rb") as file:
                data = file.read()
        else:
            data = Path(name).expanduser().read_bytes()
    except FileNotFoundError:
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


def _looks_like(data: bytes) -> str:
    start = data[:64].lstrip().lower()
    if start.startswith((b"<!doctype", b"<html")):
        return "is a web page, not a checkpoint"
    if start.startswith(b"version https://git-lfs"):
        return "is a Git LFS pointer (run git lfs pull), not a checkpoint"
    if data[:2] == b"PK":
        return "is a zip archive (a torch.save file?)"
    return "is not a checkpoint"


def _official_generator(top: dict[str, Any], name: str) -> Generator:
    record = top.get(name)
    if not isinstance(record, ModuleRecord):
        found = ", ".join(sorted(str(key) for key in top)[:10]) or "nothing"
        raise InputError(f"checkpoint has no network {name} (found: {found})")
    return _filled(Generator, generator_config(record).to_dict(), named_tensors(record), name)


def _from_official(top: dict[str, Any], for_training: bool) -> tuple[Generator, Discriminator | None, dict[str, Any]]:
    generator = _official_generator(top, "G_ema")
    metadata: dict[str, Any] = {"format": "official"}
    discriminator = None
    if isinstance(top.get("D"), ModuleRecord):
        try:
            kwargs = discriminator_config(top["D"]).to_dict()
            discriminator = _filled(Discriminator, kwargs, named_tensors(top["D"]), "D")
        except InputError as error:
            if for_training:
                raise
            metadata["discriminator"] = f"not loaded: {error}"  # whoever only samples does not need it
    return generator, discriminator, metadata


def _from_safetensors(data: bytes) -> tuple[Generator, Discriminator | None, dict[str, Any]]:
    try:
        tensors = safetensors.torch.load(data)
        (length,) = struct.unpack("<Q", data[:8])
        header = json.loads(json.loads(data[8 : 8 + length])["__metadata__"][HEADER])
    except KeyError:
        raise InputError(f"safetensors file has no {HEADER!r} header; {EXPECTED}") from None
    except (SafetensorError, ValueError, TypeError, RecursionError) as error:
        detail = " ".join(str(error).split())[:120]
        raise InputError(f"safetensors file is truncated or damaged ({detail})") from None
    if not isinstance(header, dict) or header.get("format") != 1:
        raise InputError("safetensors file is of another format version; this release reads format 1")
    generator = _filled(
        Generator, NetworkConfig.from_dict(header.get("generator")).to_dict(), _part(tensors, "generator"), "generator"
    )
    discriminator = None
    if header.get("discriminator") is not None:
        kwargs = DiscriminatorConfig.from_dict(header["discriminator"]).to_dict()
        discriminator = _filled(Discriminator, kwargs, _part(tensors, "discriminator"), "discriminator")
    metadata = header.get("metadata")
    return generator, discriminator, (metadata if isinstance(metadata, dict) else {}) | {"format": "labelfactory"}


def _part(tensors: dict[str, Tensor], part: str) -> dict[str, Tensor]:
    return {key.removeprefix(f"{part}."): value for key, value in tensors.items() if key.startswith(f"{part}.")}


def _filled(kind: type[Network], kwargs: dict[str, Any], tensors: dict[str, Tensor], part: str) -> Network:
    """The network with these weights; names and shapes are compared before memory is taken for it."""
    with torch.device("meta"):
        expected = {name: tuple(value.shape) for name, value in kind(**kwargs).state_dict().items()}
    for name, shape in expected.items():
        if name not in tensors:
            raise InputError(f"{part} has no {name}; its config asks for shape {list(shape)}")
        if tuple(tensors[name].shape) != shape:
            raise InputError(
                f"{part}'s {name} has shape {list(tensors[name].shape)}; its config asks for {list(shape)}"
            )
        if not tensors[name].is_floating_point() or not tensors[name].isfinite().all():
            raise InputError(f"{part}'s {name} holds values that are not finite numbers")
    unknown = sorted(set(tensors) - set(expected))
    if unknown:
        raise InputError(f"{part} holds {unknown[0]}, which its config does not ask for")
    network = kind(**kwargs)
    network.load_state_dict({name: tensors[name].float() for name in expected})
    return network.eval().requires_grad_(False)
