"""Generated pictures as a camera would have taken them."""

import io

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from labelfactory.factory.pairs.blur import gaussian_blur
from labelfactory.factory.sensor.sensor import Row, Sensor
from labelfactory.interpreters.array_types import Float


def through_sensor(
    images: Float[Tensor, "batch channels height width"], sensor: Sensor, generator: torch.Generator
) -> Float[Tensor, "batch channels height width"]:
    """Images in 0..1, each through a row of its own; ``generator`` (on the CPU) decides everything."""
    numbers = torch.randint(len(sensor.rows), (len(images),), generator=generator)
    grain = torch.randn(images.shape, generator=generator).to(images.device)
    return taken(images, [sensor.rows[number] for number in numbers.tolist()], grain)


def taken(
    images: Float[Tensor, "batch channels height width"],
    rows: list[Row],
    grain: Float[Tensor, "batch channels height width"],
) -> Float[Tensor, "batch channels height width"]:
    """Each image through its row; ``grain`` is drawn from N(0, 1)."""

    def of(name: str) -> Tensor:
        values = torch.tensor([float(getattr(row, name)) for row in rows], dtype=images.dtype, device=images.device)
        return values[:, None, None, None]

    x = images
    if any(row.blur for row in rows):
        x = gaussian_blur(x, of("blur").flatten())
    mean = x.mean((1, 2, 3), keepdim=True)
    x = mean + (x - mean) * of("contrast") + of("brightness")
    channels = x.shape[1]
    casts = [row.cast if len(row.cast) == channels else (1.0,) * channels for row in rows]
    x = x * torch.tensor(casts, dtype=x.dtype, device=x.device)[:, :, None, None]
    x = (x + of("grain") * grain).clamp(0, 1)
    for number, row in enumerate(rows):
        if row.quality:
            x[number] = compressed(x[number], row.quality)
    return x


def compressed(image: Float[Tensor, "channels height width"], quality: int) -> Float[Tensor, "channels height width"]:
    """The image as it is after it was saved as JPEG of that quality (1 to 100) and read again."""
    pixels = (255 * image).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
    file = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(file, "JPEG", quality=quality)
    read = np.asarray(Image.open(file), np.float32).reshape(pixels.shape) / 255
    return torch.from_numpy(read).permute(2, 0, 1).to(image)
