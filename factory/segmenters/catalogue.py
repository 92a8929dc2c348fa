"""The segmenters by name, and trained ones on disk."""

import inspect
import json
from importlib import import_module
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from labelfactory.errors import InputError
from labelfactory.factory.parameter import Entry, Parameter
from labelfactory.factory.segmenters.architectures import SEGMENTERS
from labelfactory.factory.segmenters.backbones import load_backbone_weights
from labelfactory.factory.segmenters.segmenter import Segmenter
from labelfactory.whole_files import whole_path


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
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {k: v.detach().cpu().contiguous() for k, v in segmenter.state_dict().items()}
    with whole_path(path) as temporary:
        save_file(tensors, temporary, {"labelfactory_segmenter": json.dumps(recipe)})


def load_segmenter(path: Path) -> tuple[Segmenter, dict[str, Any]]:
    """A segmenter written by ``save_segmenter``, in evaluation mode, and its recipe."""
    if not path.is_file():
        raise InputError(f"there is no segmenter at {path}: train one with factory train-segmenter")
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} is no safetensors file ({error})") from error
    if "labelfactory_segmenter" not in metadata:
        raise InputError(f"{path} holds no segmenter of ours: give a file written by factory train-segmenter")
    recipe = json.loads(metadata["labelfactory_segmenter"])
    segmenter = build_segmenter(
        recipe["name"], recipe["image_channels"], len(recipe["classes"]), **recipe.get("options", {})
    )
    segmenter.load_state_dict(state)
    return segmenter.eval(), recipe
