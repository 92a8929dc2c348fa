"""The segmenters by name, and trained ones on disk."""

import json
from importlib import import_module
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from labelfactory.errors import InputError
from labelfactory.factory.segmenters.architectures import SEGMENTERS
from labelfactory.factory.segmenters.backbones import load_backbone_weights
from labelfactory.factory.segmenters.segmenter import Segmenter
from labelfactory.factory.segmenters.transformers_models import TransformersSegmenter
from labelfactory.whole_files import whole_path


def build_segmenter(
    name: str,
    image_channels: int,
    num_classes: int,
    backbone_weights: Path | None = None,
    **options: Any,
) -> Segmenter:
    """A fresh segmenter of ``SEGMENTERS``; ``options`` are its own (width, stride, upsampling, output_stride ...)."""
    if name not in SEGMENTERS:
        raise InputError(f"unknown segmenter {name!r}: choose one of {', '.join(SEGMENTERS)}")
    try:
        module, _, kind = SEGMENTERS[name].home.partition(":")
        sizes = {"num_classes": num_classes}
        if not SEGMENTERS[name].colour:
            sizes["in_channels"] = image_channels
        segmenter: Segmenter = getattr(import_module(module), kind)(**sizes, **{**SEGMENTERS[name].options, **options})
    except TypeError as error:
        raise InputError(f"{name} does not take these options: {options} ({error})") from error
    if backbone_weights is not None:
        load_backbone_weights(segmenter, backbone_weights)
    return segmenter


def save_segmenter(segmenter: Segmenter, path: Path, recipe: dict[str, Any]) -> None:
    """Weights as safetensors; ``recipe`` (name, image_channels, classes, options, report ...) as JSON in its header."""
    missing = {"name", "image_channels", "classes"} - recipe.keys()
    if missing:
        raise InputError(f"the recipe of a segmenter needs name, image_channels and classes; {sorted(missing)} missing")
    if isinstance(segmenter, TransformersSegmenter):  # what a folder said must come back without the folder
        recipe = {**recipe, "options": {"overrides": segmenter.model.config.to_dict()}}
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
