"""The real coffee leaves, squeezed to a square, with their human masks, for the measurements beside this file.

    LABELFACTORY_DATA=... python benchmarks/leaves.py --out leaves128 --side 128

writes the unlabelled pictures as PNG, to train a generator on (`factory train-generator --amplify mirror`);
each also upside down, as a leaf has no upper side.
"""

import argparse
import io
import os
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("background", "leaf", "symptom")


def pictures(name: str, side: int, filter: Image.Resampling, folder: Path | None = None) -> dict[str, np.ndarray]:
    """Pictures of an archive of the data set, squeezed to ``side`` x ``side``, by stem in order.

    ``folder`` None: ``leaves`` in that of LABELFACTORY_DATA.
    """
    with zipfile.ZipFile((folder or Path(os.environ["LABELFACTORY_DATA"]) / "leaves") / f"{name}.zip") as archive:
        return {
            Path(entry).stem: np.array(Image.open(io.BytesIO(archive.read(entry))).resize((side, side), filter))
            for entry in sorted(archive.namelist())
            if not entry.endswith("/")
        }


def load_leaves(
    split: str, side: int = 64, folder: Path | None = None
) -> tuple[np.ndarray, np.ndarray, list[str], list[str]]:
    """(images [n, side, side, 3], masks of CLASSES, names, names): every leaf is a picture of its own."""
    images = pictures(f"{split}_images", side, Image.Resampling.BOX, folder)
    masks = pictures(f"{split}_masks", side, Image.Resampling.NEAREST, folder)
    names = sorted(images)
    return np.stack([images[n] for n in names]), np.stack([masks[n] for n in names]), names, names


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--side", type=int, default=128)
    options = parser.parse_args()
    options.out.mkdir(parents=True)
    for stem, image in pictures("unlabelled_images", options.side, Image.Resampling.BOX).items():
        Image.fromarray(image).save(options.out / f"{stem}.png")
        Image.fromarray(image[::-1]).save(options.out / f"{stem}_v.png")


if __name__ == "__main__":
    main()
