"""What a dataset is worth: segmenters trained on pairs and tested on what people labelled. See docs/evaluation.md."""

from labelfactory.factory.downstream.segmenter import Segmenter
from labelfactory.factory.downstream.training import TrainingConfig, TrainingReport, train_segmenter
from labelfactory.factory.downstream.unet import UNet
from labelfactory.factory.evaluation.metrics import Scores, confusion_matrix, scores

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
