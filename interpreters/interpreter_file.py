"""Interpreters on disk: safetensors whose header carries everything else as one JSON text."""

import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from labelfactory.errors import InputError

if TYPE_CHECKING:
    from labelfactory.interpreters.interpreter import StyleInterpreter

FORMAT = "labelfactory-interpreter"
VERSION = 2
ALL_CHANNELS = 16384  # directions of the first version, which knew none
MAX_BYTES = 2**30  # the widest sensible interpreter (64 members on 5,568 channels) has a tenth of that
HALF = "linears.0.weight"  # nine tenths of the file; fit rounds it to float16, so half the bytes lose nothing


def to_bytes(model: "StyleInterpreter") -> bytes:
    header = {
        "format": FORMAT,
        "version": VERSION,
        "feature_channels": list(model.feature_channels),
        "num_classes": model.num_classes,
        "members": model.members,
        "hidden": list(model.hidden),
        "directions": model.directions,
        "classes": model.classes,
        "generator_sha256": model.generator_sha256,
        "report": model.report,
        "extra": model.extra,
    }
    tensors = {name: t.detach().cpu().contiguous() for name, t in model.state_dict().items()}
    first = tensors[HALF].half()
    if torch.equal(first.float(), tensors[HALF]):
        tensors[HALF] = first
    # a single metadata entry: safetensors writes several in random order
    return save_tensors(tensors, {FORMAT: json.dumps(header, sort_keys=True, allow_nan=False)})


def save(model: "StyleInterpreter", path: Path) -> str:
    content = to_bytes(model)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise InputError(f"{path}: cannot write the interpreter: {error.strerror or error}") from None
    return hashlib.sha256(content).hexdigest()


def load(path: Path) -> "StyleInterpreter":
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError(f"{path}: cannot read the interpreter: {error.strerror or error}") from None
    return from_bytes(content, str(path))


def from_bytes(content: bytes, name: str) -> "StyleInterpreter":
    """The interpreter in a file's bytes; ``name`` begins the message where they hold none."""
    from labelfactory.interpreters.interpreter import StyleInterpreter

    if len(content) > MAX_BYTES:
        raise InputError(f"{name}: more than {MAX_BYTES >> 20} MiB; expected an interpreter saved by this program")
    header, tensors = _parse(content, name)
    try:
        shape = [header[key] for key in ("feature_channels", "num_classes", "members", "hidden", "directions")]
        _expect(all(_is_count(n) for n in (*shape[0], shape[1], shape[2], *shape[3], shape[4])))
        with torch.device("meta"):  # nothing is allocated before the file's own shapes agree
            model = StyleInterpreter(*shape)
        _expect(isinstance(header["classes"], list) and len(header["classes"]) in (0, model.num_classes))
        _expect(isinstance(header["generator_sha256"], str))
        _expect(isinstance(header["report"], dict) and isinstance(header["extra"], dict))
    except (KeyError, TypeError, InputError) as error:
        raise InputError(f"{name}: its header is damaged ({error}); train or fetch the interpreter again") from None
    state = {key: tensor.float() for key, tensor in tensors.items() if tensor.is_floating_point()}
    expected = {key: tensor.shape for key, tensor in model.state_dict().items()}
    if {key: tensor.shape for key, tensor in state.items()} != expected:
        raise InputError(f"{name}: its tensors do not have the shapes that its header names; fetch the file again")
    if not all(bool(tensor.isfinite().all()) for tensor in state.values()):
        raise InputError(f"{name}: holds weights that are not finite; train the interpreter again")
    if any(bool((t < 0).any()) for k, t in state.items() if k.endswith(("running_var", "feature_std"))):
        raise InputError(f"{name}: holds negative variances; train or fetch the interpreter again")
    model.load_state_dict(state, assign=True)
    model.classes, model.generator_sha256 = header["classes"], header["generator_sha256"]
    model.report, model.extra = header["report"], header["extra"]
    return model.requires_grad_(False)


def _parse(content: bytes, name: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        tensors = load_tensors(content)
        length = int.from_bytes(content[:8], "little")
        header = json.loads(json.loads(content[8 : 8 + length])["__metadata__"][FORMAT])
        _expect(isinstance(header, dict))
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError, InputError):
        raise InputError(
            f"{name}: is not a whole interpreter file; expected one written by `factory train-interpreter`"
        ) from None
    if header.get("version") == 1:
        header |= {"version": VERSION, "directions": ALL_CHANNELS}
    if header.get("version") != VERSION:
        raise InputError(
            f"{name}: interpreter format {header.get('version')!r}, this program reads {VERSION}; train it again"
        )
    return header, tensors


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _expect(condition: bool) -> None:
    if not condition:
        raise InputError("a field has an unexpected type")
