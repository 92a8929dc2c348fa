"""What a store exports is read back as labels: the same masks, whatever the format."""

from pathlib import Path

import numpy as np
import pytest
from command_line import Factory

from labelfactory.errors import InputError
from labelfactory.interpreters.classes import LabelClass
from labelfactory.interpreters.formats import import_labels
from labelfactory.interpreters.labelset import LabelSet, Sample
from labelfactory.storage import open_dataset

STORE = Path(__file__).parent / "data" / "v0.1" / "all.zarr"


@pytest.mark.parametrize(
    ("export", "format", "found"),
    [
        ("coco", "coco", "coco"),
        ("coco", "coco-panoptic", "coco-panoptic"),
        ("yolo", "auto", "yolo"),
        ("png", "auto", "label-set"),
    ],
)
def test_exports_come_back(tmp_path: Path, factory: Factory, export: str, format: str, found: str) -> None:
    assert factory("export", STORE, "--format", export, "--out", tmp_path / "out").code == 0
    store = open_dataset(str(STORE))  # without what the uncertainty filter drops, as exports are
    numbers = store.samples
    masks, images = store.read("mask", numbers), store.read("image", numbers)
    samples = tuple(
        Sample(f"{n:09d}", image, np.full_like(mask, 255), int(n))
        for n, image, mask in zip(numbers, images, masks, strict=True)
    )
    classes = tuple(LabelClass(c.name, (c.color[0], c.color[1], c.color[2])) for c in store.spec.classes)
    labels = LabelSet(classes, samples, "g", "ab" * 32)
    result, report = import_labels(labels, tmp_path / "out", format)
    assert report.format == found
    np.testing.assert_array_equal([s.mask for s in result], masks)
    assert report.keypoints == (3 * len(samples) if format == "coco" else 0)
    if export == "coco":
        with pytest.raises(InputError, match=r"may be coco .*, and coco-panoptic .*; say which with --format"):
            import_labels(labels, tmp_path / "out")
