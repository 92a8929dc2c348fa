"""How ``builtin:nuclei64`` was made; run the parts in this order, from the repository's root.

    python tools/bundle_nuclei64.py generator runs/nuclei64/generator.safetensors
    python tools/bundle_nuclei64.py assistant $LABELFACTORY_DATA/nuclei64 runs/assistant.pt
                                                      U-Net on the human masks of the real crops (about 10 CPU minutes)
    python tools/bundle_nuclei64.py labels runs/assistant.pt                 16 images, proposed masks, corrections

The last part reads ``factory/models/nuclei64/corrections.json``: what a person changed after looking at each proposal.
Every entry is painted over the proposal in order: ``{"sample", "class", "polygon": [[x, y], …]}`` in pixels.
"""

import io
import json
import shutil
import sys
import zipfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from scipy import ndimage

from labelfactory.factory.families import open_generator
from labelfactory.factory.labels.selection import sample_label_set
from labelfactory.factory.latents import latents
from labelfactory.factory.pairs.pairs import ArrayPairs
from labelfactory.factory.segmenters.settings import TrainingConfig
from labelfactory.factory.segmenters.training import train_segmenter
from labelfactory.factory.segmenters.unet import UNet
from labelfactory.factory.stylegan2_ada.checkpoint import load_checkpoint, save_safetensors
from labelfactory.interpreters.classes import OKABE_ITO, LabelClass
from labelfactory.interpreters.labelset import LabelSet
from labelfactory.interpreters.sheet import contact_sheet

MODEL = Path("factory/models/nuclei64")
TRUNCATION = 0.8
CLASSES = (
    LabelClass("background", OKABE_ITO[0], thing=False),
    LabelClass("nucleus", OKABE_ITO[1], thing=True),
    LabelClass("neighbour", OKABE_ITO[2], thing=True),
)
SMALLEST = 6  # pixels; smaller specks of a proposal are noise


def bundle_generator(trained: Path) -> None:
    """What `factory train-generator` left, in float16, and a sheet of samples."""
    checkpoint = load_checkpoint(trained)
    seen = checkpoint.metadata["images_seen"]
    metadata = {"licence": "CC0-1.0", "data": "nuclei64 train, 11,179 crops", "images_seen": seen}
    MODEL.mkdir(parents=True, exist_ok=True)
    generator = checkpoint.generator.eval()
    save_safetensors(MODEL / "generator.safetensors", generator, checkpoint.discriminator, metadata, torch.float16)
    bundled = open_generator("builtin:nuclei64", "cpu")
    rows = []
    for psi in (0.7, 1.0):
        images = bundled.generate(latents(range(50), bundled.latent_shape), psi).images[..., 0].numpy()
        rows.append(images.reshape(5, 10, 64, 64).transpose(0, 2, 1, 3).reshape(320, 640))
    Image.fromarray(np.concatenate(rows)).save(MODEL / "samples.png", optimize=True)
    print(f"{seen} images seen, sha256 {bundled.sha256}")


def read_crops(folder: Path, split: str) -> ArrayPairs:
    """Images and semantic masks: 0 background, 1 the centred nucleus, 2 its neighbours."""
    arrays = []
    for part in ("images", "instances"):
        with zipfile.ZipFile(folder / f"{split}_{part}.zip") as archive:
            names = sorted(name for name in archive.namelist() if name.endswith(".png"))
            arrays.append(np.stack([np.array(Image.open(io.BytesIO(archive.read(name)))) for name in names]))
    images, instances = arrays
    return ArrayPairs(images[..., None], np.minimum(instances, 2).astype(np.uint8))


def train_assistant(data: Path, out: Path) -> None:
    torch.manual_seed(0)
    config = TrainingConfig(steps=800, batch_size=32, validate_every=250, average=0.995)
    train, val = read_crops(data, "train"), read_crops(data, "val")
    averaged, report = train_segmenter(UNet(1, 3, 32, 3), train, config, validation=val)
    torch.save(averaged.state_dict(), out)
    print(f"{out}: mIoU {report.best_score:.4f} on the human masks of val")


def propose(network: UNet, labels: LabelSet) -> LabelSet:
    """The assistant's masks, averaged over the eight dihedral views, without specks and holes."""
    samples = []
    for sample in labels:
        x = torch.from_numpy(sample.image.copy())[None]
        views = []
        for turn in range(4):
            for flip in (False, True):
                view = torch.rot90(x.flip(2) if flip else x, turn, (1, 2))
                p = torch.rot90(network.probabilities(view)[0], -turn, (1, 2))
                views.append(p.flip(2) if flip else p)
        mask = torch.stack(views).mean(0).argmax(0).numpy().astype(np.uint8)
        for label in (1, 2):
            parts, count = ndimage.label(mask == label)
            for part in range(1, count + 1):
                if (parts == part).sum() < SMALLEST:
                    mask[parts == part] = 0
            mask[ndimage.binary_fill_holes(mask == label) & (mask == 0)] = label
        samples.append(sample._replace(mask=mask))
    return LabelSet(labels.classes, tuple(samples), labels.generator_uri, labels.generator_sha256, labels.truncation)


def correct(labels: LabelSet, corrections: list[dict]) -> LabelSet:
    """Paints a person's corrections over the proposals."""
    masks = {sample.name: sample.mask.copy() for sample in labels}
    for entry in corrections:
        canvas = Image.fromarray(masks[entry["sample"]])
        ImageDraw.Draw(canvas).polygon([tuple(point) for point in entry["polygon"]], fill=entry["class"])
        masks[entry["sample"]] = np.array(canvas)
    samples = tuple(sample._replace(mask=masks[sample.name]) for sample in labels)
    return LabelSet(labels.classes, samples, labels.generator_uri, labels.generator_sha256, labels.truncation)


def bundle_labels(assistant: Path) -> None:
    network = UNet(1, 3, 32, 3)
    network.load_state_dict(torch.load(assistant, weights_only=True))
    network.eval()
    generator = open_generator("builtin:nuclei64", "cpu")
    blank = sample_label_set(
        generator, "builtin:nuclei64", 16, CLASSES, "kmeans", candidates=1024, truncation=TRUNCATION
    )
    file = MODEL / "corrections.json"
    corrections = json.loads(file.read_text()) if file.exists() else []
    labels = correct(propose(network, blank), corrections)
    readme = (MODEL / "labels" / "README.md").read_text() if (MODEL / "labels" / "README.md").exists() else None
    shutil.rmtree(MODEL / "labels", ignore_errors=True)
    labels.save(MODEL / "labels")
    contact_sheet(labels.samples, labels.classes, columns=4).save(MODEL / "labels" / "sheet.png", optimize=True)
    if readme:
        (MODEL / "labels" / "README.md").write_text(readme)
    print(f"{len(labels)} samples, {len(corrections)} corrections, content sha256 {labels.content_sha256}")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["generator", trained]:
            bundle_generator(Path(trained))
        case ["assistant", data, out]:
            train_assistant(Path(data), Path(out))
        case ["labels", assistant]:
            bundle_labels(Path(assistant))
        case _:
            sys.exit(__doc__)
