"""The networks by name: where each is written, which of its options it sets, its tasks. One line adds one."""

from typing import Any, NamedTuple


class Architecture(NamedTuple):
    """home: module and class; options: of the class; colour: True where it always takes three channels; tasks: what it
    can be trained for (``tasks.TASKS``)."""

    home: str
    options: dict[str, Any]
    colour: bool
    tasks: tuple[str, ...] = ("semantic",)


_HERE = "labelfactory.factory.segmenters"
_OBJECTS = "labelfactory.factory.objects"
_TRANSFORMERS = f"{_HERE}.transformers_models:TransformersSegmenter"
SEGMENTERS: dict[str, Architecture] = {
    "unet": Architecture(f"{_HERE}.unet:UNet", {}, False),
    "unet-small": Architecture(f"{_HERE}.unet:UNet", {"width": 32, "depth": 3}, False),
    "unet-valid": Architecture(f"{_HERE}.unet:UNet", {"padded": False, "norm": False}, False),
    "fcn8s": Architecture(f"{_HERE}.fcn:FCN", {"stride": 8}, True),
    "fcn16s": Architecture(f"{_HERE}.fcn:FCN", {"stride": 16}, True),
    "fcn32s": Architecture(f"{_HERE}.fcn:FCN", {"stride": 32}, True),
    "deeplabv3plus-resnet50": Architecture(f"{_HERE}.deeplab:DeepLabV3Plus", {"depth": 50}, True),
    "deeplabv3plus-resnet101": Architecture(f"{_HERE}.deeplab:DeepLabV3Plus", {"depth": 101}, True),
    "segformer": Architecture(_TRANSFORMERS, {"architecture": "segformer"}, True),
    "upernet": Architecture(_TRANSFORMERS, {"architecture": "upernet"}, True),
    "mask2former": Architecture(_TRANSFORMERS, {"architecture": "mask2former"}, True),
    "panoptic-deeplab": Architecture(
        f"{_OBJECTS}.panoptic_deeplab:PanopticDeepLab", {}, False, ("instance", "panoptic", "boxes")
    ),
}


def serving(task: str) -> list[str]:
    """Names of the networks that can be trained for a task."""
    return [name for name, architecture in SEGMENTERS.items() if task in architecture.tasks]
