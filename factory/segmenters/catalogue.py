"""The segmenters by name, and trained ones on disk."""

import inspect
from importlib import import_module
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from labelfactory.errors import InputError
from labelfactory.factory.parameter import Entry, Parameter
from labelfactory.factory.segmenters.architectures import SEGMENTERS
from labelfactory.factory.segmenters.backbones import load_backbone_weights
from labelfactory.factory.segmenters.segmenter import Segmenter
from labelfactory.tensor_file import TensorFile

FILE = TensorFile("labelfactory_segmenter", "segmenter", "give one that `factory train-segmenter` wrote")


def build_segmenter(
    name: str,
    image_channels: int,
    num_classes: int,
    backbone_weights: Path | None = None,
    **options: Any,
) -> Segmenter:
    """A fresh segmenter of ``SEGMENTERS``; ``options`` are those of ``options_of(name)``."""
    chosen = checked_options(name, options)
    sizes = {"num_classes": num_classes}
    if not SEGMENTERS[name].colour:
        sizes["in_channels"] = image_channels
    segmenter = _class_of(name)(**sizes, **{**SEGMENTERS[name].options, **chosen})
    if backbone_weights is not None:
        load_backbone_weights(segmenter, backbone_weights)
    return segmenter


def options_of(name: str) -> dict[str, Entry]:
    """The options of a segmenter by name: type, default and what is said of each, as its ``__init__`` has them."""
    kind = _class_of(name)
    hints = get_type_hints(kind.__init__, include_extras=True)
    defaults = {k: p.default for k, p in inspect.signature(kind.__init__).parameters.items()}
    defaults |= SEGMENTERS[name].options
    return {
        option: Entry(hint.__origin__, defaults[option], hint.__metadata__[0])
        for option, hint in hints.items()
        if get_origin(hint) is Annotated and isinstance(hint.__metadata__[0], Parameter)
    }


def checked_options(name: str, options: dict[str, Any]) -> dict[str, Any]:
    """The options in their types; InputError for one that the segmenter does not have, or a value that cannot be."""
    known = options_of(name)
    if unknown := options.keys() - known.keys():
        raise InputError(
            f"{name} does not take these options: {', '.join(sorted(unknown))}; it takes {', '.join(known)}"
        )
    checked = {}
    for option, value in options.items():
        about, where = known[option], f"{name}: option {option}"
        checked[option] = _typed(value, about.kind, where)
        about.about.check(where, checked[option])
    return checked


def _class_of(name: str) -> type[Segmenter]:
    if name not in SEGMENTERS:
        raise InputError(f"unknown segmenter {name!r}: choose one of {', '.join(SEGMENTERS)}")
    module, _, kind = SEGMENTERS[name].home.partition(":")
    found: type[Segmenter] = getattr(import_module(module), kind)
    return found


def _typed(value: Any, kind: Any, where: str) -> Any:
    """Whole numbers count as numbers and texts as paths; everything else has to be of its type."""
    kinds = [get_origin(k) or k for k in get_args(kind)] if isinstance(kind, UnionType) else [get_origin(kind) or kind]
    if float in kinds and type(value) is int:
        return float(value)
    if Path in kinds and isinstance(value, str):
        return Path(value)
    if any(type(value) is k or (k in (Path, dict) and isinstance(value, k)) for k in kinds):
        return value
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "a word", dict: "a JSON object"}
    expected = " or ".join(words.get(k, "a path") for k in kinds if k is not NoneType)
    raise InputError(f"{where} is {value!r}: expected {expected}")


def save_segmenter(segmenter: Segmenter, path: Path, recipe: dict[str, Any]) -> None:
    """Weights as safetensors; ``recipe`` (name, image_channels, classes, options, report ...) as JSON in its header."""
    missing = {"name", "image_channels", "classes"} - recipe.keys()
    if missing:
        raise InputError(f"the recipe of a segmenter needs name, image_channels and classes; {sorted(missing)} missing")
    recipe = {**recipe, "options": segmenter.saved_options(recipe.get("options", {}))}
    FILE.save(path, FILE.pack(segmenter.state_dict(), recipe))


def load_segmenter(path: Path) -> tuple[Segmenter, dict[str, Any]]:
    """A segmenter written by ``save_segmenter``, in evaluation mode, and its recipe."""
    if not path.is_file():
        raise InputError(f"there is no segmenter at {path}: train one with factory train-segmenter")
    recipe, tensors = FILE.unpack(FILE.read(path), str(path))
    kinds = {"name": str, "image_channels": int, "classes": list, "options": dict}
    told = {"options": {}, **recipe}
    if not all(isinstance(told.get(key), kind) for key, kind in kinds.items()):
        raise InputError(f"{path}: its header does not describe a segmenter; {FILE.remedy}")
    segmenter = build_segmenter(told["name"], told["image_channels"], len(told["classes"]), **told["options"])
    FILE.fill(segmenter, tensors, str(path))
    return segmenter.eval(), recipe
