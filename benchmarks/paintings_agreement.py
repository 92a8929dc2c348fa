"""How far two annotators agree on the paintings that both have drawn.

python benchmarks/paintings_agreement.py
"""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from labelfactory.factory.evaluation.metrics import confusion_matrix, scores

HERE = Path(__file__).parent / "paintings"


def main() -> None:
    names = [c["name"] for c in json.loads((HERE / "classes.json").read_text())]
    files = sorted((HERE / "second").glob("*.png"))
    total = np.zeros((len(names), len(names)), np.int64)
    for file in files:
        first, second = (np.array(Image.open(path)) for path in (HERE / "masks" / file.name, file))
        total += confusion_matrix(first, second, len(names))
    found = scores(total)
    of_classes = ", ".join(f"{name} {100 * iou:.1f}" for name, iou in zip(names, found.iou, strict=True))
    equal = 100 * np.trace(total) / total.sum()
    print(f"{len(files)} paintings: {equal:.1f} % of the pixels, mIoU {100 * found.miou:.1f} ({of_classes})")


if __name__ == "__main__":
    main()
