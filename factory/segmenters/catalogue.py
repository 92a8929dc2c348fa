"""The networks by name, and trained ones on disk."""

import inspect
from pathlib import Path
from typing import Any

from labelfactory.errors import InputError
from labelfactory.factory import options
from labelfactory.factory.parameter import Entry
from labelfactory.factory.segmenters.architectures import architecture, serving
from labelfactory.factory.segmenters.backbones import load_backbone_weights
from labelfactory.factory.segmenters.network import Network
from labelfactory.factory.segmenters.segmenter import Segmenter
from labelfactory.factory.segmenters.tasks import TASKS, Aim
from labelfactory.interpreters.classes import LabelClass, name_classes
from labelfactory.lazy import member
from labelfactory.tensor_file import TensorFile

FILE = TensorFile("labelfactory_segmenter", "segmenter", "give one that `factory train-segmenter` wrote")


def build_network(
    name: str, image_channels: int, aim: Aim, backbone_weights: Path | None = None, **given: Any
) -> Network:
    """A fresh network of ``SEGMENTERS`` for a task; what is ``given`` are options of ``options_of(name)``."""
    chosen = checked_options(name, given)
    if aim.task not in architecture(name).tasks:
        raise InputError(f"{name} is no network for {aim.task}: choose one of {', '.join(serving(aim.task))}")
    kind, channels = class_of(name), {} if architecture(name).colour else {"in_channels": image_channels}
    takes_aim = "aim" in inspect.signature(kind.__init__).parameters
    told: dict[str, Any] = {"aim": aim} if takes_aim else {"num_classes": len(aim.classes)}
    network = kind(**channels, **told, **{**architecture(name).options, **chosen})
    if backbone_weights is not None:
        load_backbone_weights(network, backbone_weights)
    return network


def build_segmenter(
    name: str, image_channels: int, num_classes: int, backbone_weights: Path | None = None, **given: Any
) -> Segmenter:
    """A fresh segmenter of so many classes: ``build_network`` for the semantic task."""
    aim = Aim("semantic", name_classes(map(str, range(num_classes))))
    network = build_network(name, image_channels, aim, backbone_weights, **given)
    assert isinstance(network, Segmenter)
    return network


def options_of(name: str) -> dict[str, Entry]:
    """The options of a segmenter by name: type, default and what is said of each, as its ``__init__`` has them."""
    return options.options_of(class_of(name), architecture(name).options)


def checked_options(name: str, given: dict[str, Any]) -> dict[str, Any]:
    """The options in their types; InputError for one that the segmenter does not have, or a value that cannot be."""
    return options.checked(name, options_of(name), given)


def class_of(name: str) -> type[Network]:
    """The class of a network by name."""
    found: type[Network] = member(architecture(name).home)
    return found


def save_segmenter(segmenter: Network, path: Path, recipe: dict[str, Any]) -> None:
    """Weights as safetensors; ``recipe`` (name, image_channels, classes, options, report ...) as JSON in its header."""
    missing = {"name", "image_channels", "classes"} - recipe.keys()
    if missing:
        raise InputError(f"the recipe of a segmenter needs name, image_channels and classes; {sorted(missing)} missing")
    recipe = {**recipe, "options": segmenter.saved_options(recipe.get("options", {}))}
    tensors = {name: tensor.clone() for name, tensor in segmenter.state_dict().items()}  # none shares another's memory
    FILE.save(path, FILE.pack(tensors, recipe))


def load_segmenter(path: Path) -> tuple[Network, dict[str, Any]]:
    """A network written by ``save_segmenter``, in evaluation mode, and its recipe."""
    if not path.is_file():
        raise InputError(f"there is no segmenter at {path}: train one with factory train-segmenter")
    recipe, tensors = FILE.unpack(FILE.read(path), str(path))
    kinds = {"name": str, "image_channels": int, "classes": list, "options": dict}
    told = {"options": {}, **recipe}
    if not all(isinstance(told.get(key), kind) for key, kind in kinds.items()):
        raise InputError(f"{path}: its header does not describe a segmenter; {FILE.remedy}")
    segmenter = build_network(told["name"], told["image_channels"], aim_of(told, str(path)), **told["options"])
    FILE.fill(segmenter, tensors, str(path))
    return segmenter.eval(), recipe


def aim_of(recipe: dict[str, Any], where: str) -> Aim:
    """What a trained network tells apart; files of before there were tasks are semantic."""
    if all(isinstance(c, dict) for c in recipe["classes"]):
        classes = tuple(LabelClass(c["name"], (*c["color"],), c.get("thing")) for c in recipe["classes"])
    else:
        classes = name_classes(recipe["classes"])
    task = recipe.get("task", "semantic")
    if task not in TASKS:
        raise InputError(f"{where}: is a network for {task}; this version knows {', '.join(TASKS)}")
    return Aim(task, classes, tuple(recipe.get("keypoints", ())))
