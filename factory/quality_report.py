"""Quality of several generators, most often one run's: a report on disk that grows with each of them."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from labelfactory.errors import InputError
from labelfactory.factory.bundled import BUILTIN
from labelfactory.factory.families import open_generator
from labelfactory.factory.taking import try_output
from labelfactory.factory.training.curves import LOG, PICTURE, REPORT, draw_curves
from labelfactory.factory.training.dataset import ImageDataset
from labelfactory.factory.training.feature_encoder import Features, load_encoder, save_encoder, train_encoder
from labelfactory.factory.training.order import QualityOrder
from labelfactory.factory.training.quality import HEADING, Quality, Yardstick, all_images, generate_images, table_row
from labelfactory.interpreters.array_types import Float
from labelfactory.ownership import claimed
from labelfactory.whole_files import whole_file


def kept_generators(run: Path) -> list[str]:
    """Files of a run's generators in the order of training, the last one at the end.

    Raises ``InputError`` where there is none.
    """
    kept = sorted([*run.glob("generator-*.safetensors"), *(f.parent for f in run.glob("generator-*/model_index.json"))])
    last = [run / name for name in ("generator.safetensors", "generator") if (run / name).exists()]
    found = [*kept, *last]
    if not found:
        raise InputError(f"{run}: holds no generator.safetensors or generator/; expected the folder of a training run")
    return [str(path) for path in found]


def open_alike(sources: Sequence[str]) -> tuple[int, int, int]:
    """Resolution, image channels and classes that all the generators share.

    Raises ``InputError`` where one differs.
    """
    shapes = {}
    for source in sources:
        generator = open_generator(source, "cpu")
        shapes[source] = (generator.resolution, generator.image_channels, generator.num_classes)
        if shapes[source] != shapes[sources[0]]:
            raise InputError(
                f"{source}: resolution, channels and classes are {shapes[source]}, those of {sources[0]} are "
                f"{shapes[sources[0]]}; expected generators of one kind"
            )
    return shapes[sources[0]]


@dataclass
class Report:
    """Figures of one generator after the other against the same real images.

    Written to ``path`` after each. A generator that an earlier report there holds, measured in the same way, is not
    measured again: an interrupted evaluation goes on, and a run's report grows with the run.
    """

    yardstick: Yardstick
    labels: Float[Tensor, "known classes"]
    count: int
    psi: tuple[float, ...]
    seed: int = 0
    path: Path | None = None
    entries: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        features = hashlib.sha256()  # identifies both the real images and the encoder that described them
        for part in (self.yardstick.target, self.yardstick.known):
            features.update(part.contiguous().numpy().tobytes())
        self.settings = {
            "count": self.count,
            "psi": list(self.psi),
            "seed": self.seed,
            "real_features": features.hexdigest(),
        }
        self.known: dict[str, list[dict[str, Any]]] = {}
        if self.path is not None and self.path.exists():
            try:
                earlier = json.loads(self.path.read_text())
                if earlier["settings"] == self.settings:
                    self.known = {entry["sha256"]: entry["quality"] for entry in earlier["generators"]}
            except (ValueError, KeyError, TypeError):
                raise InputError(f"{self.path}: exists and is no report of evaluate-generator") from None

    def add(self, source: str, progress: bool = True) -> Iterator[tuple[str, Quality]]:
        """Measures one generator; a name for people and its figures, for each psi."""
        opened = open_generator(source)
        name, seen = source if source.startswith(BUILTIN) else Path(source).name, opened.metadata.get("images_seen")
        if any(entry["sha256"] == opened.sha256 for entry in self.entries):
            return
        shown = f"{name.removesuffix('.safetensors')}" if seen is None else f"{seen / 1000:.6g} kimg"
        rows = []
        for i, psi in enumerate(self.psi):
            if opened.sha256 in self.known:
                quality = Quality.from_dict(self.known[opened.sha256][i])
            else:
                samples = generate_images(opened, self.count, self.labels, psi, self.seed, progress=progress)
                quality = self.yardstick.measure(samples, psi)
            rows.append(quality.to_dict())
            yield f"{shown}, psi {psi:g}", quality
        self.entries.append({"generator": name, "sha256": opened.sha256, "images_seen": seen, "quality": rows})
        if self.path is not None:
            with whole_file(self.path) as file:
                file.write((json.dumps(self.settings_and_entries(), indent=1) + "\n").encode())

    def settings_and_entries(self) -> dict[str, Any]:
        return {"settings": self.settings, "generators": self.entries}

    def placed(self) -> list[dict[str, Any]]:
        """Entries that know how many images their generator has seen: points of a curve."""
        return [entry for entry in self.entries if entry["images_seen"] is not None]


def evaluate_generators(order: QualityOrder, tell: Callable[[str], Any] = print, progress: bool = True) -> Report:
    """Measures what ``order`` asks for and tells it in rows; a report that exists is gone on with."""
    sources = [*(kept_generators(order.run) if order.run else []), *order.generator]
    pixels, channels, classes = open_alike(sources)
    images = ImageDataset(order.data, pixels, channels=channels, conditional=classes > 0, progress=progress)
    for line in images.remarks():
        tell(line)
    train = all_images(images)
    if order.reference is not None:
        held_out = all_images(ImageDataset(order.reference, pixels, channels=channels, progress=progress))
    else:
        every = torch.arange(len(train)) % 4 == 0
        train, held_out = train[~every], train[every]
    out, picture = order.out, None if order.out is None else order.out.with_suffix(".png")
    if out is None and order.run is not None:
        out, picture = order.run / REPORT, order.run / PICTURE
        try_output("run", str(order.run), "folder")
    yardstick = Yardstick(train, held_out, _features(order, train, images.channels, progress), order.seed)
    report = Report(yardstick, images.labels, order.count, order.psi, order.seed, out)
    tell(HEADING)
    tell(yardstick.reference_row())
    tell(table_row("real, held out", yardstick.real, yardstick.real))
    for source in sources:
        for name, quality in report.add(source, progress):
            tell(table_row(name, quality.generated, quality.real))
    if picture is not None and len(report.placed()) > 1:
        picture = claimed(picture.parent, picture.name)
        log = order.run / LOG if order.run else None
        draw_curves(picture, [log] if log and log.exists() else [], out)
        tell(f"{out}: the figures; {picture}: their curves")
    return report


def _features(order: QualityOrder, train: Tensor, channels: int, progress: bool) -> Features:
    """What describes images: the encoder that is named, or one that is trained on these, and kept where that says."""
    if order.encoder is not None and order.encoder.exists():
        return load_encoder(order.encoder, channels)
    trained = train_encoder(train, seed=order.seed, progress=progress)
    if order.encoder is not None:
        save_encoder(trained, order.encoder)
    return trained.encode
