"""Measures a sensor: real pictures against those that a generator draws."""

import warnings
from collections.abc import Sequence

import numpy as np

from labelfactory.errors import InputError
from labelfactory.factory.families import open_generator
from labelfactory.factory.generator import ImageGenerator
from labelfactory.factory.labels.classes import usual_truncation
from labelfactory.factory.latents import drawn_classes, latents
from labelfactory.factory.pairs.labelled import FolderOrZip
from labelfactory.factory.pairs.resized import resized_picture
from labelfactory.factory.sensor.order import SensorOrder
from labelfactory.factory.sensor.sensor import Sensor
from labelfactory.factory.sensor.statistics import jpeg_quality, rows_over
from labelfactory.interpreters.array_types import UInt8
from labelfactory.interpreters.pictures import read_image
from labelfactory.storage.seeds import sample_seeds

FEWEST = 8  # pictures; of fewer, nothing can be said of how they differ


def measure_sensor(order: SensorOrder) -> Sensor:
    """Measures what ``order`` names and writes the file. InputError for too few pictures, or of other channels."""
    generator = open_generator(order.generator, order.device)
    images, qualities = real_pictures(order, generator)
    truncation = usual_truncation(generator) if order.truncation is None else order.truncation
    sensor = Sensor(rows_over(images, drawn(generator, order.count, order.seed, truncation), qualities))
    about = {"images": str(order.images), "pictures": len(images), "generator_sha256": generator.sha256}
    sensor.save(order.out, about | {"truncation": truncation, "seed": order.seed})
    return sensor


def real_pictures(
    order: SensorOrder, generator: ImageGenerator
) -> tuple[UInt8[np.ndarray, "n height width channels"], list[int]]:
    """Real pictures at the generator's size, evenly out of all that there are, and their files' JPEG qualities.

    Of pictures that have to be resized the quality is 0: their blocks of 8 pixels are none any more.
    """
    files = FolderOrZip(order.images)
    names = sorted(files.images().values())
    if len(names) < FEWEST:
        raise InputError(f"{order.images}: has {len(names)} pictures; expected {FEWEST} or more to measure a sensor")
    chosen = [names[i] for i in np.linspace(0, len(names) - 1, min(order.count, len(names))).astype(int)]
    images, qualities, resized = [], [], 0
    for name in chosen:
        content = files.read(name)
        image = _channels(read_image(content, name), generator.image_channels, name)
        fits = image.shape[:2] == generator.size
        resized += not fits
        images.append(resized_picture(image, generator.size))
        qualities.append(jpeg_quality(content) if fits else 0)
    if resized:
        size = " x ".join(map(str, generator.size[::-1]))
        warnings.warn(
            f"{order.images}: {resized} of {len(chosen)} pictures were resized to {size}; grain and blur are measured "
            "at that size, JPEG is not",
            stacklevel=2,
        )
    return np.stack(images), qualities


def _channels(
    image: UInt8[np.ndarray, "height width channels"], wanted: int, name: str
) -> UInt8[np.ndarray, "height width others"]:
    if image.shape[2] == 1 and wanted == 3:
        return np.repeat(image, 3, 2)
    if image.shape[2] != wanted:
        raise InputError(f"{name}: has {image.shape[2]} channels; the generator's pictures have {wanted}")
    return image


def drawn(
    generator: ImageGenerator, count: int, seed: int, truncation: float
) -> UInt8[np.ndarray, "count height width channels"]:
    """Pictures of a generator, whole."""
    seeds = sample_seeds(seed, 0, count).tolist()
    size, found = generator.batch_size(32), []
    for start in range(0, count, size):
        some: Sequence[int] = seeds[start : start + size]
        z = latents(some, generator.latent_shape)
        found.append(generator.generate(z, truncation, drawn_classes(some, generator.conditions)).images.cpu().numpy())
    return np.concatenate(found)
