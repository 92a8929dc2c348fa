"""Real images with people's masks, by inversion a label set like any other."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from labelfactory.errors import InputError
from labelfactory.factory.generator import ImageGenerator, Invertible
from labelfactory.factory.labels.encoder import Encoder
from labelfactory.factory.labels.inversion import InversionSettings, invert
from labelfactory.interpreters.array_types import UInt8
from labelfactory.interpreters.labelset import IGNORE_INDEX, LabelClass, LabelSet, Sample
from labelfactory.interpreters.pictures import SUFFIXES, read_image
from labelfactory.whole_files import whole_file


@dataclass(frozen=True)
class InvertedImage:
    """How one image fared: see ``factory.labels.inversion.Inversion``; ``kept`` where its fidelity was high enough."""

    name: str
    fidelity: float
    psnr: float
    steps: int
    kept: bool


def read_images(
    folder: Path, generator: ImageGenerator
) -> tuple[list[str], UInt8[np.ndarray, "images height width channels"]]:
    """Names (file stems) and pixels of a folder's pictures. Colour becomes grey for a grey generator.

    InputError for an empty folder, two pictures of one name, or a picture of another size than the generator's images.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; expected one of pictures")
    paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES)
    if not paths:
        raise InputError(f"{folder}: has no pictures; expected {', '.join(SUFFIXES)}")
    size, pixels = generator.image_size, []
    for path in paths:
        image = read_image(path)
        if image.shape[:2] != size:
            wanted = f"the generator makes {size[1]} x {size[0]}" + ("" if generator.crop is None else " in this crop")
            raise InputError(f"{path}: is {image.shape[1]} x {image.shape[0]}; {wanted}, cut it to that")
        if image.shape[2] > generator.image_channels:
            image = np.array(Image.fromarray(image).convert("L"))[..., None]
        pixels.append(np.broadcast_to(image, (*size, generator.image_channels)))
    return [p.stem for p in paths], np.stack(pixels)


def unlabelled(
    generator: ImageGenerator,
    uri: str,
    names: Sequence[str],
    images: UInt8[np.ndarray, "images height width channels"],
    classes: Sequence[LabelClass],
    truncation: float,
) -> LabelSet:
    """The label set that masks are read into before the long work begins; its origins are stand-ins."""
    blank = np.full(images.shape[1:3], IGNORE_INDEX, np.uint8)
    samples = tuple(Sample(name, image, blank, 0) for name, image in zip(names, images, strict=True))
    return LabelSet(tuple(classes), samples, uri, generator.sha256, truncation, crop=generator.crop)


def invert_label_set(
    generator: Invertible,
    labels: LabelSet,
    scratch: Path,
    encoder: Encoder | None,
    settings: InversionSettings,
    min_fidelity: float = 0.8,
    keep_poor: bool = False,
    progress: bool = True,
) -> tuple[LabelSet, list[InvertedImage], UInt8[np.ndarray, "images height width channels"]]:
    """``labels`` with the latents of their images, without the images that the generator cannot explain.

    Arguments:
        scratch: folder of finished latents; after an interruption they are not made again.
        min_fidelity: images below it are left out unless ``keep_poor``: masks on latents of another picture mislead.

    Returns:
        The set, how each image fared, and all reconstructions.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    generator = generator.cropped(labels.crop)
    about = [asdict(settings), generator.sha256, encoder is not None, generator.perceptive]
    key = json.dumps(about + ([labels.crop.numbers] if labels.crop else []))
    paths = [scratch / f"{hashlib.sha256(key.encode() + s.image.tobytes()).hexdigest()[:32]}.npz" for s in labels]
    missing = [i for i, path in enumerate(paths) if not path.is_file()]
    with tqdm(total=len(missing), desc="inversion", unit="image", disable=not progress, leave=False) as bar:
        for start in range(0, len(missing), settings.batch):
            chosen = missing[start : start + settings.batch]
            images = np.stack([labels.samples[i].image for i in chosen])
            result = invert(generator, images, encoder, settings, progress=False)
            for k, i in enumerate(chosen):
                fields = {
                    name: getattr(result, name)[k] for name in ("ws", "reconstruction", "fidelity", "psnr", "steps")
                }
                with whole_file(paths[i]) as file:
                    np.savez(file, **fields)
            bar.update(len(chosen))
            bar.set_postfix(fidelity=f"{result.fidelity.mean():.3f}")
    samples, report, reconstructions = [], [], []
    for sample, path in zip(labels, paths, strict=True):
        with np.load(path, allow_pickle=False) as found:
            fidelity, kept = float(found["fidelity"]), keep_poor or float(found["fidelity"]) >= min_fidelity
            report.append(InvertedImage(sample.name, fidelity, float(found["psnr"]), int(found["steps"]), kept))
            reconstructions.append(found["reconstruction"])
            if kept:
                samples.append(sample._replace(origin=found["ws"].astype(np.float32)))
    inverted = replace(labels, samples=tuple(samples))
    return inverted, report, np.stack(reconstructions)
