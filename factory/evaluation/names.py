"""Scores by name, as people read them."""

SCORES = {
    "miou": "mIoU",
    "pixel_accuracy": "pixel accuracy",
    "mean_accuracy": "mean accuracy",
    "frequency_weighted_iou": "frequency-weighted IoU",
    "mean_dice": "mean Dice",
    "boundary_f": "boundary F",
    "panoptic_quality": "panoptic quality",
    "segmentation_quality": "segmentation quality",
    "recognition_quality": "recognition quality",
    "pq_stuff": "panoptic quality, uncountable classes",
    "pq_all": "panoptic quality, all classes",
    "aji": "aggregated Jaccard index",
    "ap": "AP (0.50 to 0.95)",
    "ap50": "AP at IoU 0.50",
    "ap75": "AP at IoU 0.75",
    "box_ap": "AP of boxes (0.50 to 0.95)",
    "box_ap50": "AP of boxes at IoU 0.50",
    "box_ap75": "AP of boxes at IoU 0.75",
    "box_f1": "F1 of boxes",
    "pck": "PCK at 10 % of the side",
    "pck5": "PCK at 5 % of the side",
    "oks": "object key point similarity",
    "mean_error": "mean error, in pixels",
    "iou": "IoU",
    "dice": "Dice",
    "accuracy": "accuracy",
}
PIXELS = ("mean_error",)  # all others are shares, shown in per cent


def named(score: str) -> str:
    """The name of a score; "pck: nose" is that of one point."""
    kind, _, point = score.partition(": ")
    return SCORES[kind] + (f", {point}" if point else "")
