"""Reads official StyleGAN2-ADA ``.pkl`` files without executing anything that they hold.

A pickle is a small program: it names functions and asks for them to be called. Here no name is ever imported. Each
name on the list below has a handler of ours that rebuilds plain data; every other name ends the reading with an error
that says which one was asked for. Modules come back as passive records (class name and state), and the Python source
that official files carry for each class is dropped unread.
"""

import collections
import io
import pickle
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, NoReturn

import numpy as np
import torch

from labelfactory.errors import InputError


@dataclass
class ModuleRecord:
    """A pickled torch module: its class's name and its ``__dict__``."""

    class_name: str
    state: dict[str, Any] = field(default_factory=dict)

    def table(self, name: str) -> dict[str, Any]:
        """``_parameters``, ``_buffers``, ``_modules`` or ``_init_kwargs`` of the module; empty where it has none."""
        value = self.state.get(name)
        return value if isinstance(value, dict) else {}


@dataclass(frozen=True)
class _Name:
    """Stands where the pickle refers to a function or class. Frozen: a pickle cannot set attributes on it."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass
class _ArrayRecord:
    """A numpy array between its two steps: created empty, then filled by BUILD."""

    value: np.ndarray | None = None


@dataclass
class _DTypeRecord:
    """A numpy dtype between its two steps: its code, then its byte order."""

    code: str
    order: str = "="

    def dtype(self) -> np.dtype:
        code = self.code.lstrip("<>=|")
        # Only numbers and truth values: an object array could hold anything.
        if code[:1] not in tuple("biufc?") or not code[1:].isdigit():
            raise InputError(f"checkpoint refused: numpy dtype {self.code!r} is not a plain number type")
        return np.dtype(("" if self.order == "|" else self.order) + code)


def _storage_from_bytes(data: bytes) -> torch.TypedStorage:
    loaded = torch.load(io.BytesIO(data), weights_only=True, map_location="cpu")
    if not isinstance(loaded, torch.TypedStorage):
        raise InputError(f"checkpoint refused: a tensor's storage holds a {type(loaded).__name__}")
    return loaded


def _rebuild_tensor(
    storage: torch.TypedStorage, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any
) -> torch.Tensor:
    """The tensor, copied: a view beyond its storage or blown up by strides of zero is refused."""
    numbers = (offset, *size, *stride)
    if not isinstance(storage, torch.TypedStorage) or not all(type(n) is int and 0 <= n < 2**40 for n in numbers):
        raise InputError("checkpoint refused: a tensor without a valid storage, size or stride")
    if len(size) != len(stride) or len(size) > 8:
        raise InputError(f"checkpoint refused: a tensor of size {tuple(size)} with stride {tuple(stride)}")
    elements, bytes_each = 1, storage._untyped_storage.nbytes() // max(1, storage._element_size())
    for extent in size:
        elements *= extent
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if elements and (last >= bytes_each or elements > bytes_each):
        raise InputError(f"checkpoint refused: a tensor of size {tuple(size)} is larger than its storage")
    if not elements:
        return torch.zeros(size, dtype=storage.dtype)
    view = torch.empty(0, dtype=storage.dtype).set_(storage._untyped_storage, offset, size, stride)
    return view.clone(memory_format=torch.contiguous_format)


def _rebuild_parameter(data: Any, *_: Any) -> torch.Tensor:
    if not isinstance(data, torch.Tensor):
        raise InputError(f"checkpoint refused: a parameter made of a {type(data).__name__}")
    return data


def _persistent_object(meta: Any) -> ModuleRecord:
    """A module saved with its source: the source is dropped here, unread."""
    if not isinstance(meta, dict) or meta.get("type") != "class" or not isinstance(meta.get("state"), dict):
        raise InputError("checkpoint refused: a persistent object that is not {type: class, class_name, state}")
    return ModuleRecord(class_name=str(meta.get("class_name")), state=meta["state"])


def _numpy_scalar(dtype: Any, data: Any) -> Any:
    if not isinstance(dtype, _DTypeRecord) or not isinstance(data, bytes):
        raise InputError("checkpoint refused: a numpy scalar without dtype and bytes")
    return np.frombuffer(data, dtype=dtype.dtype(), count=1)[0].item()


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    if not isinstance(text, str) or encoding != "latin1":
        raise InputError("checkpoint refused: _codecs.encode of something else than latin1 text")
    return text.encode("latin1")


_HANDLERS: dict[str, Callable[..., Any]] = {
    "torch_utils.persistence._reconstruct_persistent_obj": _persistent_object,
    "dnnlib.util.EasyDict": lambda *args: dict(*args),
    "collections.OrderedDict": lambda *args: collections.OrderedDict(*args),
    "builtins.set": lambda *args: set(*args),
    "_codecs.encode": _encode,
    "torch.storage._load_from_bytes": _storage_from_bytes,
    "torch._utils._rebuild_tensor": _rebuild_tensor,
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
    "torch._utils._rebuild_parameter": _rebuild_parameter,
    "torch.Size": lambda *args: tuple(*args),
    "torch.device": lambda *args: ":".join(str(arg) for arg in args),
    "numpy.dtype": lambda code, *_: _DTypeRecord(str(code)),
}
for _core in ("numpy.core.multiarray", "numpy._core.multiarray"):
    _HANDLERS[f"{_core}._reconstruct"] = lambda *_: _ArrayRecord()
    _HANDLERS[f"{_core}.scalar"] = _numpy_scalar

# Known names that are data, never called.
_CONSTANTS = {f"torch.{name}" for name in ("float32", "float16", "bfloat16", "float64", "int64", "int32", "uint8")}
_CONSTANTS.add("numpy.ndarray")
_OLD_MODULES = {"__builtin__": "builtins"}


class _Unpickler(pickle._Unpickler):
    """The standard library's unpickler in Python, with every step that could call or change an object replaced.

    The one in Python, because the one in C reserves memory by the numbers that the file claims.
    """

    stack: list[Any]  # the base class's, which its stub leaves out
    pop_mark: Callable[[], list[Any]]
    dispatch: ClassVar[dict[int, Any]] = dict(pickle._Unpickler.dispatch)

    def find_class(self, module: str, name: str) -> Any:
        found = _Name(_OLD_MODULES.get(module, module), name)
        container = found.module.startswith("torch.nn.") and "." not in name
        if str(found) in _HANDLERS or str(found) in _CONSTANTS or container:
            return found
        raise InputError(f"checkpoint refused: it asks for {found}, which no StyleGAN2-ADA checkpoint needs")

    def persistent_load(self, pid: Any) -> NoReturn:
        raise InputError("checkpoint refused: it asks for an object outside the file (persistent id)")

    def _call(self, function: Any, args: Any) -> Any:
        if not isinstance(function, _Name) or not isinstance(args, tuple):
            raise InputError("checkpoint refused: it calls something that is not a name")
        handler = _HANDLERS.get(str(function))
        if handler is not None:
            return handler(*args)
        if function.module.startswith("torch.nn."):
            return ModuleRecord(class_name=function.name)
        raise InputError(f"checkpoint refused: it calls {function}, which is not a function")

    def load_reduce(self) -> None:
        args, function = self.stack.pop(), self.stack.pop()
        self.stack.append(self._call(function, args))

    def load_newobj(self) -> None:
        self.load_reduce()

    def load_build(self) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, ModuleRecord) and isinstance(state, dict):
            target.state.update(state)
        elif isinstance(target, _DTypeRecord) and isinstance(state, tuple) and len(state) > 1:
            target.order = state[1] if state[1] in ("<", ">", "=", "|") else "="
        elif isinstance(target, _ArrayRecord) and isinstance(state, tuple) and len(state) == 5:
            target.value = _filled_array(*state[1:])
        elif isinstance(target, dict) and isinstance(state, dict):
            target.update(state)  # an EasyDict or OrderedDict with attributes of its own
        else:
            raise InputError(f"checkpoint refused: it changes the inside of a {type(target).__name__}")

    def load_append(self) -> None:
        value, target = self.stack.pop(), self.stack[-1]
        _plain(target, list).append(value)

    def load_appends(self) -> None:
        items = self.pop_mark()
        _plain(self.stack[-1], list).extend(items)

    def load_setitem(self) -> None:
        value, key, target = self.stack.pop(), self.stack.pop(), self.stack[-1]
        _plain(target, dict)[key] = value

    def load_setitems(self) -> None:
        items = self.pop_mark()
        target = _plain(self.stack[-1], dict)
        target.update(zip(items[::2], items[1::2], strict=True))

    def load_additems(self) -> None:
        items = self.pop_mark()
        _plain(self.stack[-1], set).update(items)

    def _refuse(self) -> NoReturn:
        raise InputError("checkpoint refused: it uses a pickle instruction that no StyleGAN2-ADA checkpoint needs")


def _plain(target: Any, kind: type) -> Any:
    if not isinstance(target, kind):
        raise InputError(f"checkpoint refused: it fills a {type(target).__name__} like a {kind.__name__}")
    return target


def _filled_array(shape: Any, dtype: Any, fortran: Any, data: Any) -> np.ndarray:
    if not isinstance(dtype, _DTypeRecord) or not isinstance(data, bytes) or not isinstance(shape, tuple):
        raise InputError("checkpoint refused: a numpy array without shape, plain dtype and bytes")
    return np.frombuffer(data, dtype=dtype.dtype()).reshape(shape, order="F" if fortran else "C").copy()


for _opcode, _method in {
    pickle.REDUCE: _Unpickler.load_reduce,
    pickle.NEWOBJ: _Unpickler.load_newobj,
    pickle.BUILD: _Unpickler.load_build,
    pickle.APPEND: _Unpickler.load_append,
    pickle.APPENDS: _Unpickler.load_appends,
    pickle.SETITEM: _Unpickler.load_setitem,
    pickle.SETITEMS: _Unpickler.load_setitems,
    pickle.ADDITEMS: _Unpickler.load_additems,
    **dict.fromkeys(
        (pickle.INST, pickle.OBJ, pickle.NEWOBJ_EX, pickle.EXT1, pickle.EXT2, pickle.EXT4, pickle.NEXT_BUFFER),
        _Unpickler._refuse,
    ),
}.items():
    _Unpickler.dispatch[_opcode[0]] = _method


def read_official_pickle(data: bytes) -> dict[str, Any]:
    """The top-level dictionary of an official checkpoint, its networks as ``ModuleRecord``.

    Raises ``InputError``, in one line, for whatever is not such a file: a name outside the list, a truncated or
    damaged stream, another kind of object.
    """
    try:
        loaded = _Unpickler(io.BytesIO(data), encoding="ASCII", errors="strict").load()
    except InputError:
        raise
    except MemoryError:
        raise InputError("checkpoint refused: it claims more data than memory holds") from None
    except Exception as error:  # a damaged stream can fail in any step
        detail = " ".join(str(error).split())[:120]
        raise InputError(f"checkpoint is truncated or damaged ({type(error).__name__}: {detail})") from None
    if not isinstance(loaded, dict):
        raise InputError(f"checkpoint holds a {type(loaded).__name__}; expected the networks G, D and G_ema by name")
    return loaded
