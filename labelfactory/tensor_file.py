"""Weights in one safetensors file whose header carries everything else as one JSON text; nothing in it is executed."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from labelfactory.errors import InputError
from labelfactory.whole_files import whole_file


@dataclass(frozen=True)
class TensorFile:
    """One kind of such files.

    key    of the header in safetensors' metadata
    what   a file of this kind holds, and
    remedy what to do where one is damaged, both for people
    most   bytes that a file can have
    """

    key: str
    what: str
    remedy: str
    most: int = 2**33

    def pack(self, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> bytes:
        """The file's bytes: equal tensors and headers give equal bytes."""
        plain = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
        # a single metadata entry: safetensors writes several in random order
        return save_tensors(plain, {self.key: json.dumps(header, sort_keys=True)})

    def save(self, path: str | Path, content: bytes) -> str:
        """Writes the file, whole or not at all; gives its sha256. InputError where it cannot be written."""
        try:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{path}: cannot be written ({error.strerror or error})") from None
        with whole_file(path) as file:
            file.write(content)
        return hashlib.sha256(content).hexdigest()

    def read(self, path: str | Path) -> bytes:
        """The bytes of a file that is there; InputError where it cannot be read."""
        try:
            with open(path, "rb") as file:
                return file.read(self.most + 1)
        except OSError as error:
            raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None

    def unpack(self, content: bytes, where: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Header and tensors; InputError, begun by ``where``, unless these are the bytes of a whole file."""
        try:
            if len(content) > self.most:
                raise ValueError
            tensors = load_tensors(content)
            length = int.from_bytes(content[:8], "little")
            header = json.loads(json.loads(content[8 : 8 + length])["__metadata__"][self.key])
            if not isinstance(header, dict):
                raise TypeError
        except (SafetensorError, ValueError, KeyError, TypeError, RecursionError):
            raise InputError(f"{where}: is not a whole {self.what} file; {self.remedy}") from None
        return header, tensors

    def fill(self, module: nn.Module, tensors: Mapping[str, Tensor], where: str) -> None:
        """Gives a module its weights. InputError, begun by ``where``, unless names, shapes and numbers fit it.

        A module on the meta device gets the file's tensors themselves, so nothing is allocated before they fit.
        """
        expected = module.state_dict()
        if {k: t.shape for k, t in tensors.items()} != {k: t.shape for k, t in expected.items()}:
            raise InputError(f"{where}: its tensors do not have the shapes that its header names; {self.remedy}")
        for name, tensor in tensors.items():
            if tensor.is_floating_point() != expected[name].is_floating_point():
                raise InputError(f"{where}: {name} is {tensor.dtype}; expected {expected[name].dtype}; {self.remedy}")
            if not bool(tensor.isfinite().all()):
                raise InputError(f"{where}: holds weights that are not finite; {self.remedy}")
            if name.endswith(("running_var", "feature_std", "output_std")) and bool((tensor < 0).any()):
                raise InputError(f"{where}: holds negative variances; {self.remedy}")
        state = {name: tensor.to(expected[name].dtype) for name, tensor in tensors.items()}
        with torch.no_grad():
            module.load_state_dict(state, assign=any(t.is_meta for t in expected.values()))
