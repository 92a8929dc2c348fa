"""The networks by name: where each is written, which of its options it sets, its tasks. One line adds one."""

from typing import Any, NamedTuple

from labelfactory.errors import InputError


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
_MASKS, _BOXES = f"{_OBJECTS}.mask_matching:MaskMatching", f"{_OBJECTS}.box_matching:BoxMatching"
_DETECTORS = f"{_OBJECTS}.torchvision_models:TorchvisionDetector"
_ALL = ("semantic", "instance", "panoptic")

# For pictures of few pixels, like crops of 64: about 2 million weights each.
SMALL_MASK2FORMER: dict[str, Any] = {
    "backbone_config": {
        "model_type": "swin",
        "image_size": 64,
        "patch_size": 2,
        "embed_dim": 24,
        "depths": [1, 1, 2, 1],
        "num_heads": [1, 2, 4, 8],
        "window_size": 4,
        "out_features": ["stage1", "stage2", "stage3", "stage4"],
    },
    "feature_size": 64,
    "mask_feature_size": 64,
    "hidden_dim": 64,
    "num_attention_heads": 4,
    "encoder_layers": 2,
    "decoder_layers": 4,
    "encoder_feedforward_dim": 128,
    "dim_feedforward": 128,
    "num_queries": 40,
    "train_num_points": 1024,
}
SMALL_EOMT: dict[str, Any] = {
    "image_size": 64,
    "patch_size": 4,
    "hidden_size": 128,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "num_blocks": 2,
    "num_upscale_blocks": 1,
    "num_queries": 40,
    "num_register_tokens": 0,
    "train_num_points": 1024,
}
SEGMENTERS: dict[str, Architecture] = {
    "unet": Architecture(f"{_HERE}.unet:UNet", {}, False),
    "unet-small": Architecture(f"{_HERE}.unet:UNet", {"width": 32, "depth": 3}, False),
    "unet-valid": Architecture(f"{_HERE}.unet:UNet", {"padded": False, "norm": False}, False),
    "fcn8s": Architecture(f"{_HERE}.fcn:FCN", {"stride": 8}, True),
    "fcn16s": Architecture(f"{_HERE}.fcn:FCN", {"stride": 16}, True),
    "fcn32s": Architecture(f"{_HERE}.fcn:FCN", {"stride": 32}, True),
    "deeplabv3plus-resnet50": Architecture(f"{_HERE}.deeplab:DeepLabV3Plus", {"encoder": "resnet50"}, True),
    "deeplabv3plus-mobilenetv2": Architecture(f"{_HERE}.deeplab:DeepLabV3Plus", {"encoder": "mobilenetv2"}, True),
    "deeplabv3plus-resnet101": Architecture(f"{_HERE}.deeplab:DeepLabV3Plus", {"encoder": "resnet101"}, True),
    "segformer": Architecture(_TRANSFORMERS, {"architecture": "segformer"}, True),
    "upernet": Architecture(_TRANSFORMERS, {"architecture": "upernet"}, True),
    "mask2former": Architecture(_MASKS, {"architecture": "mask2former"}, True, _ALL),
    "mask2former-tiny": Architecture(
        _MASKS,
        {"architecture": "mask2former", "overrides": SMALL_MASK2FORMER},
        True,
        ("semantic", "instance", "panoptic"),
    ),
    "eomt": Architecture(_MASKS, {"architecture": "eomt"}, True, _ALL),
    "eomt-tiny": Architecture(_MASKS, {"architecture": "eomt", "overrides": SMALL_EOMT}, True, _ALL),
    "detr": Architecture(_BOXES, {"architecture": "detr"}, True, ("boxes", "instance")),
    "rt-detr-v2": Architecture(_BOXES, {"architecture": "rt-detr-v2"}, True, ("boxes",)),
    "rf-detr": Architecture(_BOXES, {"architecture": "rf-detr"}, True, ("boxes", "instance")),
    "mask-rcnn": Architecture(_DETECTORS, {"architecture": "mask-rcnn"}, True, ("instance",)),
    "faster-rcnn": Architecture(_DETECTORS, {"architecture": "faster-rcnn"}, True, ("boxes",)),
    "retinanet": Architecture(_DETECTORS, {"architecture": "retinanet"}, True, ("boxes",)),
    "keypoint-rcnn": Architecture(_DETECTORS, {"architecture": "keypoint-rcnn"}, True, ("keypoints",)),
    "vitpose": Architecture(f"{_OBJECTS}.vitpose:VitPose", {}, True, ("keypoints",)),
    "panoptic-deeplab": Architecture(
        f"{_OBJECTS}.panoptic_deeplab:PanopticDeepLab", {}, False, ("instance", "panoptic", "boxes")
    ),
    "centernet": Architecture(f"{_OBJECTS}.centernet:CenterNet", {}, False, ("boxes", "instance")),
    "cornernet": Architecture(f"{_OBJECTS}.cornernet:CornerNet", {}, False, ("boxes",)),
    "yolact": Architecture(f"{_OBJECTS}.yolact:Yolact", {}, False, ("instance", "boxes")),
    "upsnet": Architecture(f"{_OBJECTS}.upsnet:UPSNet", {}, False, ("panoptic", "instance")),
    "hourglass": Architecture(f"{_OBJECTS}.hourglass:StackedHourglass", {}, False, ("keypoints",)),
    "integral-regression": Architecture(
        f"{_OBJECTS}.integral_regression:IntegralRegression", {}, False, ("keypoints",)
    ),
}

# What is not learned by gradient: files of these are used like those of networks, `train-forest` makes them.
FITTED = {"pixel-forest": Architecture(f"{_HERE}.pixel_forest:PixelForest", {}, False)}


def architecture(name: str) -> Architecture:
    """The line of a name in either table; InputError for one that is in neither."""
    found = SEGMENTERS.get(name, FITTED.get(name))
    if found is None:
        raise InputError(f"unknown segmenter {name!r}: choose one of {', '.join(SEGMENTERS)}")
    return found


def serving(task: str) -> list[str]:
    """Names of the networks that can be trained for a task."""
    return [name for name, architecture in SEGMENTERS.items() if task in architecture.tasks]
