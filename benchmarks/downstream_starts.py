"""What the networks of the downstream study begin with: random weights, or those of another training."""

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from downstream_cells import Cell
from downstream_parts import Clock, network, training_config
from downstream_parts import recipe as study_recipe
from torch import Tensor
from torch.nn.functional import interpolate

from labelfactory.errors import InputError
from labelfactory.factory.segmenters.catalogue import build_segmenter
from labelfactory.factory.segmenters.pretraining import pretrain
from labelfactory.factory.segmenters.pretraining_order import PretrainingOrder
from labelfactory.factory.segmenters.segmenter import Segmenter
from labelfactory.factory.segmenters.settings import TrainingConfig
from labelfactory.factory.segmenters.starting import start_from
from labelfactory.interpreters.array_types import Float

if TYPE_CHECKING:
    from downstream import Study

IMAGENET, ZOOM = "deeplabv3plus-mobilenetv2", 2
FINE = 5e-4  # learning rate of what begins with ImageNet


class Zoomed(Segmenter):
    """A network that sees small pictures larger: one of a stride of 4 at best would see few pixels of them."""

    def __init__(self, inner: Segmenter) -> None:
        super().__init__(inner.in_channels, inner.num_classes)
        self.inner = inner

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch classes height width"]:
        large = interpolate(x, scale_factor=float(ZOOM), mode="bilinear", align_corners=False)
        found: Tensor = interpolate(self.inner(large), x.shape[-2:], mode="bilinear", align_corners=False)
        return found


def begin(study: "Study", cell: Cell) -> Segmenter:
    """The untrained network of a cell."""
    options, channels, classes = study.options, study.val_set.images.shape[-1], study.domain.classes
    if cell.start == "imagenet":
        if options.imagenet is None:
            raise InputError("cells that start from ImageNet need --imagenet, a file of MobileNetV2's weights")
        torch.manual_seed(cell.seed)
        weights = Path(options.imagenet)
        return Zoomed(build_segmenter(IMAGENET, channels, len(classes), weights, output_stride=16))
    fresh = network(options, channels, cell.seed, classes)
    if cell.start == "pretrained":
        start_from(fresh, pretrained(study), options.architecture)
    return fresh


def config_of(study: "Study", cell: Cell, seed: int) -> TrainingConfig:
    """How a cell's network is trained: as all are, but for a gentler rate where ImageNet's weights are tuned."""
    config = training_config(study.options, seed)
    return replace(config, learning_rate=FINE) if cell.start == "imagenet" else config


def recipe(study: "Study", cell: Cell) -> dict[str, Any]:
    """What the file of a cell's network says of it."""
    about = study_recipe(study.options, study.val_set.images.shape[-1], study.domain.classes)
    return about | ({"name": IMAGENET} if cell.start == "imagenet" else {})


def pretrained(study: "Study") -> Path:
    """Weights of the study's network after it has painted in what squares hide of all pictures; one for all seeds."""
    options, path = study.options, study.out / "pretrained" / "weights.safetensors"
    costs = path.with_suffix(".json")
    if not costs.exists():
        clock = Clock()
        order = PretrainingOrder(
            (str(options.data),),
            path,
            architecture=options.architecture,
            options=options.network_options,
            kimg=options.kimg,
            batch_size=options.batch_size,
            augmentation=options.augmentation,
            device=options.device,
        )
        pretrain(study.pictures(), order)
        costs.write_text(json.dumps({"pretraining": clock.lap()}))
    return path
