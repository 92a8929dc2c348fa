"""What a checkpoint holds, whoever wrote it: networks by name, as tensors and as what is said of them."""

import json
import os
import re
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from labelfactory.errors import InputError
from labelfactory.factory.checkpoints.passive_pickle import ArrayRecord, ModuleRecord, read_pickle
from labelfactory.factory.checkpoints.source import EXPECTED, check_sha256, is_url, looks_like, read_source
from labelfactory.factory.checkpoints.torch_archive import is_old_archive, read_archive, read_old_archive

HEADER = "labelfactory"
# Where checkpoints keep the generator that one samples with, the best first; "" is a file that is one state dict.
EMA_NAMES = ("G_ema", "g_ema", "Gs", "generator_ema", "netG_ema", "params_ema", "ema", "g_running", "ema_generator")
PLAIN_NAMES = ("G", "g", "generator", "netG", "gen", "params", "model", "state_dict", "")
_MAX_DEPTH, _MAX_TENSORS = 32, 20_000


@dataclass(frozen=True)
class Network:
    """One network of a file.

    tensors     its weights and buffers by full name, as the file has them (DDP's ``module.`` is taken off)
    class_name  of the object that was pickled; "" for a bare table of tensors
    record      that object, or None
    settings    what a TensorFlow network was made with
    """

    tensors: dict[str, Tensor]
    class_name: str = ""
    record: ModuleRecord | None = None
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self.tensors)

    def of_tensorflow(self) -> bool:
        return self.class_name.endswith("tflib.network.Network")

    def child_classes(self) -> list[str]:
        """Class names of its direct parts."""
        parts = self.record.table("_modules").values() if self.record is not None else ()
        return [part.class_name for part in parts if isinstance(part, ModuleRecord)]


@dataclass(frozen=True)
class Contents:
    """A file or folder that was read.

    form      "labelfactory" (our safetensors), "networks" (anybody's file) or "folder" (of diffusers)
    networks  by name; of our own files "generator" and "discriminator"
    header    of our own files
    loose     single tensors and numbers beside the networks, such as rosinality's ``latent_avg``
    config    what somebody says of a network that its file does not say
    """

    name: str
    sha256: str
    form: str
    networks: dict[str, Network] = field(default_factory=dict)
    header: dict[str, Any] = field(default_factory=dict)
    loose: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)

    def says_all(self) -> None:
        """InputError where somebody says what the file says itself."""
        if self.config:
            raise InputError(f"says itself what its network is; leave out {', '.join(self.config)}")

    @property
    def family(self) -> str:
        """Named in the header of our own files; "" elsewhere."""
        return str(self.header.get("family", "stylegan2")) if self.form == "labelfactory" else ""

    @property
    def generator(self) -> Network | None:
        """The network that one samples with: a moving average where there is one."""
        names = ("generator", *EMA_NAMES, *PLAIN_NAMES)
        return next((self.networks[name] for name in names if name in self.networks), None)


def read_contents(uri: str | os.PathLike[str], sha256: str | None = None) -> Contents:
    """Reads a file or folder. ``InputError``, in one line that begins with the uri, where it cannot be read."""
    name = os.fspath(uri)
    if not is_url(name) and any((Path(name) / f).is_file() for f in ("model_index.json", "config.json")):
        return _folder(Path(name), sha256)
    source = read_source(name, sha256)
    data = source.data
    try:
        if len(data) > 9 and data[8:9] == b"{":
            return _safetensors(name, source.sha256, data)
        if data[:2] == b"PK":
            return _named(name, source.sha256, read_archive(data))
        if is_old_archive(data):
            return _named(name, source.sha256, read_old_archive(data))
        if data[:1] == b"\x80" and data[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
            return _named(name, source.sha256, read_pickle(data))
        raise InputError(f"{looks_like(data)}; {EXPECTED}")
    except InputError as error:
        raise InputError(f"{name}: {error}") from None


def _folder(path: Path, sha256: str | None) -> Contents:
    """A folder of diffusers: what it is is read by its family; here it gets a name that changes with its files."""
    import hashlib

    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")):
        if file.is_file() and file.suffix in (".json", ".safetensors", ".bin", ".txt"):
            digest.update(f"{file.relative_to(path).as_posix()} {file.stat().st_size}\n".encode())
            digest.update(file.read_bytes())
    check_sha256(str(path), digest.hexdigest(), sha256)
    return Contents(str(path), digest.hexdigest(), "folder")


def _safetensors(name: str, sha256: str, data: bytes) -> Contents:
    try:
        tensors = safetensors.torch.load(data)
        (length,) = struct.unpack("<Q", data[:8])
        texts = json.loads(data[8 : 8 + length]).get("__metadata__", {})
        header = json.loads(texts[HEADER]) if HEADER in texts else None
    except (SafetensorError, ValueError, TypeError, RecursionError, KeyError) as error:
        detail = " ".join(str(error).split())[:120]
        raise InputError(f"safetensors file is truncated or damaged ({detail})") from None
    own = next((key.removeprefix(f"{HEADER}_") for key in texts if key.startswith(f"{HEADER}_")), None)
    if own is not None:
        remedy = "; `factory synthesise` makes pictures with it" if own == "synthesis" else ""
        raise InputError(f"is a {own} file of ours, no generator{remedy}")
    if header is None:
        return Contents(name, sha256, "networks", _state_dicts({"": tensors}))
    if not isinstance(header, dict) or header.get("format") != 1:
        raise InputError("safetensors file is of another format version; this release reads format 1")
    parts: dict[str, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        part, _, rest = key.partition(".")
        parts.setdefault(part, {})[rest] = value
    return Contents(name, sha256, "labelfactory", {part: Network(found) for part, found in parts.items()}, header)


def _named(name: str, sha256: str, top: Any) -> Contents:
    """Networks and loose values of whatever was pickled."""
    if isinstance(top, tuple) and len(top) == 3 and all(isinstance(part, ModuleRecord) for part in top):
        top = dict(zip(("G", "D", "Gs"), top, strict=True))  # as the TensorFlow programs write them
    if isinstance(top, ModuleRecord):
        top = {"": top}
    if not isinstance(top, dict):
        raise InputError(f"checkpoint holds a {type(top).__name__}; expected networks or their tensors by name")
    if _is_table(top):
        return Contents(name, sha256, "networks", _state_dicts({"": top}))
    networks, tables, loose = dict[str, Network](), dict[str, dict[str, Tensor]](), dict[str, Any]()
    for key, value in top.items():
        if isinstance(value, ModuleRecord) and value.class_name.endswith("tflib.network.Network"):
            networks[str(key)] = tensorflow_network(value)
        elif isinstance(value, ModuleRecord) and {"_modules", "_parameters", "_init_kwargs"} & value.state.keys():
            networks[str(key)] = Network(named_tensors(value), value.class_name, value)
        elif isinstance(value, dict) and _is_table(value):
            tables[str(key)] = value
        else:
            loose[str(key)] = value
    return Contents(name, sha256, "networks", networks | _state_dicts(tables), {}, loose)


def _is_table(value: dict[Any, Any]) -> bool:
    """Whether it is a state dict: names of tensors, most of them."""
    tensors = sum(isinstance(v, Tensor) for v in value.values())
    return tensors > 1 and 2 * tensors > len(value) and all(isinstance(k, str) for k in value)


def _state_dicts(tables: dict[str, dict[str, Any]]) -> dict[str, Network]:
    networks = {}
    for name, table in tables.items():
        tensors = {key: value for key, value in table.items() if isinstance(value, Tensor)}
        while tensors and all(key.startswith("module.") for key in tensors):
            tensors = {key.removeprefix("module."): value for key, value in tensors.items()}
        networks[name] = Network(tensors)
    return networks


def named_tensors(record: ModuleRecord) -> dict[str, Tensor]:
    """Parameters and buffers under their full names, as float32."""
    tensors: dict[str, Tensor] = {}

    def visit(module: ModuleRecord, prefix: str, depth: int) -> None:
        if depth > _MAX_DEPTH:
            raise InputError("checkpoint refused: its modules are nested deeper than a network's")
        for table in ("_parameters", "_buffers"):
            for name, value in module.table(table).items():
                if isinstance(value, Tensor):
                    if len(tensors) >= _MAX_TENSORS:
                        raise InputError(f"checkpoint refused: it holds more than {_MAX_TENSORS} tensors")
                    tensors[f"{prefix}{name}"] = value.detach().to(torch.float32)
        for name, child in module.table("_modules").items():
            if isinstance(child, ModuleRecord):
                visit(child, f"{prefix}{name}.", depth + 1)

    visit(record, "", 0)
    while tensors and all(key.startswith("module.") for key in tensors):
        tensors = {key.removeprefix("module."): value for key, value in tensors.items()}
    return tensors


def tensorflow_network(record: ModuleRecord) -> Network:
    """A network of the TensorFlow programs: its variables, and those of its parts under the part's name."""
    tensors: dict[str, Tensor] = {}
    settings: dict[str, Any] = {}

    def visit(network: ModuleRecord, prefix: str, depth: int) -> None:
        variables = network.state.get("variables")
        given = network.state.get("static_kwargs")
        settings.update(given if isinstance(given, dict) else {})
        for entry in variables if isinstance(variables, list) else ():
            if not isinstance(entry, tuple) or len(entry) != 2 or not isinstance(entry[0], str):
                raise InputError("checkpoint is damaged: a TensorFlow network's variable without name and value")
            value = entry[1].value if isinstance(entry[1], ArrayRecord) else entry[1]
            if isinstance(value, np.ndarray | int | float) and not isinstance(value, bool):
                tensors[prefix + entry[0]] = torch.from_numpy(np.array(value, np.float32))
        parts = network.state.get("components")
        for name, part in parts.items() if isinstance(parts, dict) and depth < 4 else ():
            if isinstance(part, ModuleRecord) and re.fullmatch(r"\w{1,40}", str(name)):
                visit(part, f"{prefix}{name}/", depth + 1)

    visit(record, "", 0)
    return Network(tensors, record.class_name, record, settings)


def plain_table(value: Any) -> dict[str, Any]:
    """A network's config as a header has it. InputError where it is no table."""
    if not isinstance(value, dict):
        raise InputError(f"network config: expected a table of names and numbers, found {type(value).__name__}")
    return value
