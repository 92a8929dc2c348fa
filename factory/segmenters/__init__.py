"""What a dataset is worth: segmenters trained on pairs and tested on what people labelled. See docs/evaluation.md."""

from labelfactory.factory.evaluation.metrics import Scores, confusion_matrix, scores
from labelfactory.factory.segmenters.segmenter import Segmenter
from labelfactory.factory.segmenters.training import TrainingConfig, TrainingReport, train_segmenter
from labelfactory.factory.segmenters.unet import UNet

__all__ = [
    "Scores",
    "Segmenter",
    "TrainingConfig",
    "TrainingReport",
    "UNet",
    "confusion_matrix",
    "scores",
    "train_segmenter",
]
