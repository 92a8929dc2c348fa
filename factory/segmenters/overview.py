"""What was found in a folder of pictures, at a glance: a contact sheet, and a table of shares and certainty."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray as Array
from PIL import Image

from labelfactory.factory.evaluation.cases import drawn
from labelfactory.factory.evaluation.predicted import Predicted
from labelfactory.factory.segmenters.tasks import Aim
from labelfactory.interpreters.array_types import UInt8
from labelfactory.whole_files import whole_file

FILES = ("contact_sheet.png", "report.json")
SHOWN, SIDE, COLUMNS = 48, 192, 4  # pictures on the sheet, pixels of each, pictures in a row


class Overview:
    """Hears of one picture after the other; of all but the first ``SHOWN`` it keeps numbers alone."""

    def __init__(self, aim: Aim) -> None:
        self.aim = aim
        self.rows: list[dict[str, Any]] = []
        self.pictures: list[Image.Image] = []

    def add(self, name: str, image: UInt8[Array, "height width channels"], predicted: Predicted) -> None:
        """A picture and what was found in it."""
        height, width = image.shape[:2]
        row: dict[str, Any] = {"name": name, "height": height, "width": width}
        if predicted.mask is not None:
            counts = np.bincount(predicted.mask.ravel(), minlength=256)
            row["share"] = {c.name: round(float(counts[i] / counts.sum()), 4) for i, c in enumerate(self.aim.classes)}
        if predicted.probabilities is not None:
            row["certainty"] = round(float(predicted.probabilities.max(0).mean()), 4)
        if predicted.instances is not None:
            row["objects"] = len(np.unique(predicted.instances[predicted.instances > 0]))
        elif predicted.boxes is not None:
            row["objects"] = len(predicted.boxes.classes)
        self.rows.append(row)
        if len(self.pictures) < SHOWN:
            plain = np.broadcast_to(image, (height, width, 3))
            both = [_small(plain), _small(drawn(image, predicted, self.aim.classes))]
            tile = Image.new("RGB", (sum(one.width for one in both), max(one.height for one in both)))
            for number, one in enumerate(both):
                tile.paste(one, (number * both[0].width, 0))
            self.pictures.append(tile)

    def write(self, folder: Path) -> None:
        """``contact_sheet.png``, each picture beside what was found in it, and ``report.json``."""
        wide, high = (max(getattr(p, side) for p in self.pictures) + 4 for side in ("width", "height"))
        columns = min(COLUMNS, len(self.pictures))
        sheet = Image.new("RGB", (columns * wide, -(-len(self.pictures) // columns) * high), "white")
        for number, picture in enumerate(self.pictures):
            sheet.paste(picture, (number % columns * wide, number // columns * high))
        buffer = io.BytesIO()
        sheet.save(buffer, "PNG")
        told = {"classes": [c.name for c in self.aim.classes], "pictures": self.rows}
        for name, data in zip(FILES, (buffer.getvalue(), (json.dumps(told, indent=1) + "\n").encode()), strict=True):
            with whole_file(folder / name) as file:
                file.write(data)


def _small(pixels: UInt8[Array, "height width 3"]) -> Image.Image:
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    picture.thumbnail((SIDE, SIDE))
    return picture
