"""The encoder learns to read latents from images and keeps what it learned."""

from pathlib import Path

import numpy as np
import pytest
import torch

from labelfactory.errors import InputError
from labelfactory.factory.generator import Invertible
from labelfactory.factory.labels.encoder import (
    LatentEncoder,
    ensure_encoder,
    load_encoder,
    save_encoder,
    train_encoder,
)


def unexplained(encoder: LatentEncoder, generator: Invertible) -> float:
    """Share of the variance of w that the encoder does not see in images it has not been trained on."""
    mean, std = generator.mean_latent()
    z = np.random.default_rng(9).standard_normal((64, *generator.latent_shape), dtype=np.float32)
    ws = generator.map(z, 0.8)
    with torch.no_grad():
        image = generator.synthesise(ws).clamp(-1, 1)
        target = (ws[:, 0] - mean) / std
        return float((encoder(image) - target).square().mean() / target.square().mean())


def test_training_helps(tiny_generator: Invertible) -> None:
    short = train_encoder(tiny_generator, steps=1, batch=8, progress=False)
    longer = train_encoder(tiny_generator, steps=60, batch=16, progress=False)
    assert unexplained(longer, tiny_generator) < 0.75 * unexplained(short, tiny_generator)


def test_files_keep_it(tiny_generator: Invertible, tmp_path: Path) -> None:
    first = ensure_encoder(tiny_generator, tmp_path, steps=2, progress=False)
    [path] = (tmp_path / "encoders").iterdir()
    written = path.stat().st_mtime_ns
    again = ensure_encoder(tiny_generator, tmp_path, steps=2, progress=False)
    assert path.stat().st_mtime_ns == written
    image = torch.randn(2, 1, 16, 16)
    torch.testing.assert_close(first(image), again(image))
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match="is not a whole encoder file; remove it"):
        load_encoder(path)
    ensure_encoder(tiny_generator, tmp_path, steps=2, progress=False)
    load_encoder(path)
    save_encoder(again, tmp_path / "copy.safetensors")
    assert (tmp_path / "copy.safetensors").read_bytes() == path.read_bytes()


def test_impossible_numbers(tiny_generator: Invertible) -> None:
    with pytest.raises(InputError, match="0 steps"):
        train_encoder(tiny_generator, steps=0)
