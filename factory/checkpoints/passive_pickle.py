"""Reads pickles of networks without executing anything that they hold.

A pickle is a small program: it names functions and asks for them to be called. Here no name is ever imported. Each
name on the list below has a handler of ours that rebuilds plain data. A class of another package (a network, an
optimiser's settings, a path) comes back as a passive record of its name and state; a function of Python itself, torch
or numpy that is not on the list has no business in a checkpoint, and ends the reading with an error that says which one
was asked for. Python source that official files carry for each class is dropped unread.
"""

import collections
import io
import pickle
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, NoReturn

import numpy as np
import torch

from labelfactory.errors import InputError


@dataclass(eq=False)
class ModuleRecord:
    """A pickled object of a class: its name and its ``__dict__``, for a torch module the tables of its parts."""

    class_name: str
    state: dict[str, Any] = field(default_factory=dict)
    items: list[Any] = field(default_factory=list)  # of a class that is a list, table or set too

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
class ArrayRecord:
    """A numpy array between its two steps: created empty, then filled by BUILD."""

    value: np.ndarray | None = None


@dataclass(frozen=True)
class StorageRecord:
    """A tensor's numbers that lie elsewhere in the file, read when a tensor asks for them."""

    read: Callable[[], bytes]
    dtype: torch.dtype

    def storage(self) -> torch.TypedStorage:
        data = torch.frombuffer(bytearray(self.read()) or bytearray(1), dtype=torch.uint8)
        return torch.storage.TypedStorage(wrap_storage=data.untyped_storage(), dtype=self.dtype, _internal=True)


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


def _rebuild_tensor(storage: Any, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any) -> torch.Tensor:
    """The tensor, copied: a view beyond its storage or blown up by strides of zero is refused."""
    if isinstance(storage, StorageRecord):
        storage = storage.storage()
    if not isinstance(size, tuple) or not isinstance(stride, tuple):
        raise InputError("checkpoint refused: a tensor without a valid storage, size or stride")
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


def _rebuild_typed(
    storage: Any, offset: int, size: tuple[int, ...], stride: tuple[int, ...], _: Any, __: Any, dtype: Any, *___: Any
) -> torch.Tensor:
    """A tensor whose storage has no type of its own."""
    known = DTYPES.get(getattr(dtype, "name", ""))
    if not isinstance(storage, StorageRecord) or known is None:
        raise InputError("checkpoint refused: a tensor without a valid storage or type")
    return _rebuild_tensor(StorageRecord(storage.read, known), offset, size, stride)


_HANDLERS: dict[str, Callable[..., Any]] = {
    "torch_utils.persistence._reconstruct_persistent_obj": _persistent_object,
    "dnnlib.util.EasyDict": lambda *args: dict(*args),
    "collections.OrderedDict": lambda *args: collections.OrderedDict(*args),
    "builtins.set": lambda *args: set(*args),
    "_codecs.encode": _encode,
    "torch.storage._load_from_bytes": _storage_from_bytes,
    "torch._utils._rebuild_tensor": _rebuild_tensor,
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
    "torch._utils._rebuild_tensor_v3": _rebuild_typed,
    "torch._utils._rebuild_parameter": _rebuild_parameter,
    "torch._utils._rebuild_parameter_with_state": _rebuild_parameter,
    "copyreg._reconstructor": lambda cls, *_: ModuleRecord(str(cls)),
    "torch.Size": lambda *args: tuple(*args),
    "torch.device": lambda *args: ":".join(str(arg) for arg in args),
    "numpy.dtype": lambda code, *_: _DTypeRecord(str(code)),
}
for _core in ("numpy.core.multiarray", "numpy._core.multiarray"):
    _HANDLERS[f"{_core}._reconstruct"] = lambda *_: ArrayRecord()
    _HANDLERS[f"{_core}.scalar"] = _numpy_scalar

# Known names that are data, never called.
_FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
_WHOLE = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool)
DTYPES = {str(dtype).removeprefix("torch."): dtype for dtype in (*_FLOATS, *_WHOLE)}
STORAGES = {
    "FloatStorage": torch.float32, "HalfStorage": torch.float16, "BFloat16Storage": torch.bfloat16,
    "DoubleStorage": torch.float64, "LongStorage": torch.int64, "IntStorage": torch.int32, "ShortStorage": torch.int16,
    "CharStorage": torch.int8, "ByteStorage": torch.uint8, "BoolStorage": torch.bool, "UntypedStorage": torch.uint8,
}  # fmt: skip
_CONSTANTS = {f"torch.{name}" for name in DTYPES} | {"numpy.ndarray", "builtins.object"}
_CONSTANTS |= {f"torch.{name}" for name in STORAGES} | {"torch.storage.UntypedStorage"}
_OLD_MODULES = {"__builtin__": "builtins", "copy_reg": "copyreg"}
# Leftovers of a training's settings: classes that hold nothing but values.
_HARMLESS = (
    "pathlib",
    "argparse",
    "datetime",
    "enum",
    "decimal",
    "uuid",
    "types.SimpleNamespace",
    "torch.nn",
    "torch.optim",
)


def _foreign(name: str) -> bool:
    """Whether a name can only be a class or function of somebody's package, which is never loaded here."""
    root = name.split(".")[0]
    known = root in sys.stdlib_module_names or root in ("torch", "numpy", "nt", "posix")
    return root.isidentifier() and (not known or any(name.startswith(f"{m}.") or name == m for m in _HARMLESS))


class _Unpickler(pickle._Unpickler):
    """The standard library's unpickler in Python, with every step that could call or change an object replaced.

    The one in Python, because the one in C reserves memory by the numbers that the file claims.
    """

    stack: list[Any]  # the base class's, which its stub leaves out
    pop_mark: Callable[[], list[Any]]
    storage_of: Callable[[Any], StorageRecord] | None = None
    dispatch: ClassVar[dict[int, Any]] = dict(pickle._Unpickler.dispatch)

    def find_class(self, module: str, name: str) -> Any:
        found = _Name(_OLD_MODULES.get(module, module), name)
        if str(found) in _HANDLERS or str(found) in _CONSTANTS or _foreign(str(found)):
            return found
        raise InputError(f"checkpoint refused: it asks for {found}, which no checkpoint of a generator needs")

    def persistent_load(self, pid: Any) -> StorageRecord:
        if self.storage_of is None:
            raise InputError("checkpoint refused: it asks for an object outside the file (persistent id)")
        return self.storage_of(pid)

    def _call(self, function: Any, args: Any) -> Any:
        if isinstance(function, ModuleRecord):  # what a foreign name stands for is called again: still passive
            return ModuleRecord(function.class_name)
        if not isinstance(function, _Name) or not isinstance(args, tuple):
            raise InputError("checkpoint refused: it calls something that is not a name")
        handler = _HANDLERS.get(str(function))
        if handler is not None:
            return handler(*args)
        if _foreign(str(function)):
            return ModuleRecord(class_name=function.name if function.module.startswith("torch.nn.") else str(function))
        raise InputError(f"checkpoint refused: it calls {function}, which is not a function")

    def load_reduce(self) -> None:
        args, function = self.stack.pop(), self.stack.pop()
        self.stack.append(self._call(function, args))

    def load_newobj(self) -> None:
        self.load_reduce()

    def load_newobj_ex(self) -> None:
        self.stack.pop()  # keywords
        self.load_reduce()

    def load_build(self) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, ModuleRecord):
            parts = state if isinstance(state, tuple) else (state,)  # __dict__ and, of some classes, slots
            for part in parts:
                if isinstance(part, dict):
                    target.state.update(part)
        elif isinstance(target, _DTypeRecord) and isinstance(state, tuple) and len(state) > 1:
            target.order = state[1] if state[1] in ("<", ">", "=", "|") else "="
        elif isinstance(target, ArrayRecord) and isinstance(state, tuple) and len(state) == 5:
            target.value = _filled_array(*state[1:])
        elif isinstance(target, dict) and isinstance(state, dict):
            target.update(state)  # an EasyDict or OrderedDict with attributes of its own
        else:
            raise InputError(f"checkpoint refused: it changes the inside of a {type(target).__name__}")

    def load_append(self) -> None:
        value, target = self.stack.pop(), self.stack[-1]
        _items(target, list).append(value)

    def load_appends(self) -> None:
        items = self.pop_mark()
        _items(self.stack[-1], list).extend(items)

    def load_setitem(self) -> None:
        value, key, target = self.stack.pop(), self.stack.pop(), self.stack[-1]
        _items(target, dict)[key] = value

    def load_setitems(self) -> None:
        items = self.pop_mark()
        _items(self.stack[-1], dict).update(zip(items[::2], items[1::2], strict=True))

    def load_additems(self) -> None:
        items = self.pop_mark()
        _items(self.stack[-1], set).update(items)

    def _refuse(self) -> NoReturn:
        raise InputError("checkpoint refused: it uses a pickle instruction that no checkpoint of a generator needs")


def _items(target: Any, kind: type) -> Any:
    if isinstance(target, ModuleRecord):  # a foreign class that is a table or list too: kept apart, if it is a list
        return target.items if kind is list else target.state if kind is dict else set()
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
    pickle.NEWOBJ_EX: _Unpickler.load_newobj_ex,
    pickle.BUILD: _Unpickler.load_build,
    pickle.APPEND: _Unpickler.load_append,
    pickle.APPENDS: _Unpickler.load_appends,
    pickle.SETITEM: _Unpickler.load_setitem,
    pickle.SETITEMS: _Unpickler.load_setitems,
    pickle.ADDITEMS: _Unpickler.load_additems,
    **dict.fromkeys(
        (pickle.INST, pickle.OBJ, pickle.EXT1, pickle.EXT2, pickle.EXT4, pickle.NEXT_BUFFER),
        _Unpickler._refuse,
    ),
}.items():
    _Unpickler.dispatch[_opcode[0]] = _method


def read_pickle(data: bytes | io.BytesIO, storage_of: Callable[[Any], StorageRecord] | None = None) -> Any:
    """What a pickle holds: plain data, tensors, arrays, and ``ModuleRecord`` for objects of classes.

    ``storage_of`` answers for the tensors' numbers that lie outside the pickle (files of ``torch.save``). From a stream
    one pickle is read. Raises ``InputError``, in one line, for a name that has no business here, a truncated or damaged
    stream.
    """
    try:
        unpickler = _Unpickler(
            io.BytesIO(data) if isinstance(data, bytes) else data, encoding="latin1", errors="strict"
        )
        unpickler.storage_of = storage_of
        return unpickler.load()
    except InputError:
        raise
    except MemoryError:
        raise InputError("checkpoint refused: it claims more data than memory holds") from None
    except Exception as error:  # a damaged stream can fail in any step
        detail = " ".join(str(error).split())[:120]
        raise InputError(f"checkpoint is truncated or damaged ({type(error).__name__}: {detail})") from None
