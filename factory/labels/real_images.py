"""Real images with people's masks, by inversion a label set like any other."""

import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from labelfactory.errors import InputError
from labelfactory.factory.cache import cache_dir
from labelfactory.factory.families import open_generator
from labelfactory.factory.generator import ImageGenerator, Invertible, Seeing, invertible
from labelfactory.factory.labels.classes import classes_of, usual_truncation
from labelfactory.factory.labels.encoder import LatentEncoder, ensure_encoder
from labelfactory.factory.labels.inversion import invert
from labelfactory.factory.labels.order import MIN_FIDELITY, InversionOrder, InversionSettings
from labelfactory.factory.labels.views import with_views
from labelfactory.interpreters.array_types import UInt8
from labelfactory.interpreters.classes import LabelClass
from labelfactory.interpreters.crop import Crop
from labelfactory.interpreters.formats import import_labels
from labelfactory.interpreters.labelset import LabelSet, Sample
from labelfactory.interpreters.pictures import SUFFIXES, read_image
from labelfactory.interpreters.sheet import comparison_sheet
from labelfactory.limits import IGNORE_INDEX
from labelfactory.progress import Progress
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
    paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))
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
    encoder: LatentEncoder | None,
    settings: InversionSettings,
    min_fidelity: float = MIN_FIDELITY,
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
    about += [generator.conditions] if generator.conditions else []
    key = json.dumps(about + ([labels.crop.numbers] if labels.crop else []))
    paths = [scratch / f"{hashlib.sha256(key.encode() + s.image.tobytes()).hexdigest()[:32]}.npz" for s in labels]
    missing = [i for i, path in enumerate(paths) if not path.is_file()]
    with Progress(total=len(missing), desc="inversion", unit="image", disable=not progress, leave=False) as bar:
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


def invert_images(order: InversionOrder, tell: Callable[[str], Any] = print, progress: bool = True) -> LabelSet:
    """Inverts what ``order`` asks for and writes the label set, a report and a sheet of reconstructions beside it.

    Finished latents lie in ``order.scratch`` until then, so that an interrupted call goes on. ``tell`` gets lines for a
    person.
    """
    opened = open_generator(order.generator, order.device).conditioned(order.conditions)
    if isinstance(opened, Seeing):
        return _as_photographs(order, opened, tell)
    network = invertible(opened)
    if order.crop is not None:
        network = network.cropped(Crop.parse(order.crop, *network.size))
    labels = _to_invert(order, network, tell)
    drawn = labels.samples if (order.images / "labelset.json").is_file() else ()  # these keep their origins
    labels = with_views(labels, order.amplify, order.light)
    if drawn:
        labels = replace(labels, samples=tuple(s for s in labels if s.group != s.name))
    if not network.perceptive:
        tell(f"{order.generator}: has no discriminator; likeness is judged by pixels alone")
    steps = order.encoder_steps
    encoder = ensure_encoder(network, cache_dir(), steps, progress) if steps else None
    inverted, fared, reconstructions = invert_label_set(
        network, labels, order.scratch, encoder, order.settings, order.min_fidelity, order.keep_poor, progress
    )
    result = replace(inverted, samples=tuple(sorted((*drawn, *inverted.samples), key=lambda s: s.name)))
    result.save(order.out)
    with whole_file(order.out / "inversion.json") as file:
        file.write((json.dumps([asdict(f) for f in fared], indent=1) + "\n").encode())
    captions = [f"{f.fidelity:.2f}" + ("" if f.kept else " left out") for f in fared]
    sheet = order.out / "reconstructions.png"
    comparison_sheet([s.image for s in labels], list(reconstructions), captions).save(sheet)
    _remove_latents(order.scratch)
    mean = sum(f.fidelity for f in fared) / len(fared)
    tell(f"{order.out}: {len(inverted)} of {len(labels)} images, mean fidelity {mean:.3f}")
    if poor := [f.name for f in fared if f.fidelity < order.min_fidelity]:
        how = "kept as asked" if order.keep_poor else "left out"
        names = ", ".join(poor[:10]) + (" ..." if len(poor) > 10 else "")
        tell(f"{len(poor)} below {order.min_fidelity} {how}: {names}")
    tell(f"{sheet}: look at them")
    return result


def _as_photographs(order: InversionOrder, network: Seeing, tell: Callable[[str], Any]) -> LabelSet:
    """The label set of a generator that looks at photographs itself: there is nothing to invert."""
    if order.crop is not None:
        raise InputError("crop: this kind of generator looks at whole pictures; leave it out")
    if len(network.conditions) > 1:
        raise InputError(f"class: name the one that the pictures are of, 0 to {network.num_classes - 1}")
    condition = network.conditions[0] if network.conditions else None
    labels = with_views(_to_invert(order, network, tell), order.amplify, order.light)
    samples = tuple(s._replace(origin=None, condition=condition) for s in labels)
    result = replace(labels, samples=samples)
    result.save(order.out)
    tell(f"{order.out}: {len(result)} pictures; this generator looks at them itself, nothing is inverted")
    return result


def _to_invert(order: InversionOrder, network: ImageGenerator, tell: Callable[[str], Any]) -> LabelSet:
    """The pictures with their masks: those of a label set that has some, or of a folder and another of labels."""
    if (order.images / "labelset.json").is_file():
        if order.masks is not None or order.amplify == order.light == "none" or order.crop is not None:
            raise InputError(
                f"{order.images}: is a label set already; give amplify (or light), and neither masks nor crop"
            )
        drawn = LabelSet.load(order.images).labelled
        drawn.check_generator(network.sha256)
        return drawn
    classes = classes_of(order.classes, order.generator)
    truncation = usual_truncation(network) if order.truncation is None else order.truncation
    labels = unlabelled(network, order.generator, *read_images(order.images, network), classes, truncation)
    if order.masks is None:
        return labels
    labels, report = import_labels(labels, order.masks, order.format)
    for line in report.lines():
        tell(line)
    return labels


def _remove_latents(scratch: Path) -> None:
    for path in scratch.glob("*.npz"):
        path.unlink()
    with suppress(OSError):  # something else lies there
        scratch.rmdir()
