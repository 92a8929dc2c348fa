"""A segmenter labels its own training images anew: from every side, and better than what it learned from."""

from pathlib import Path

import numpy as np
import pytest
import torch
from disc_world import discs
from torch import Tensor

from labelfactory.errors import InputError
from labelfactory.factory.pairs.pairs import ArrayPairs
from labelfactory.factory.segmenters.relabel import Relabelled, relabel
from labelfactory.factory.segmenters.segmenter import Segmenter
from labelfactory.factory.segmenters.settings import TrainingConfig
from labelfactory.factory.segmenters.training import train_segmenter
from labelfactory.factory.segmenters.unet import UNet


class Bright(Segmenter):
    """Class 1 where a pixel is brighter than the one to its left: an answer that turns with the image."""

    def __init__(self) -> None:
        super().__init__(1, 2)
        self.nothing = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        step = x - torch.nn.functional.pad(x, (1, 0, 0, 0), mode="replicate")[..., :-1]
        return torch.cat([-10 * step, 10 * step], 1)


class Sure(Segmenter):
    """Gives class 0 the same probability everywhere."""

    def __init__(self, probability: float) -> None:
        super().__init__(1, 2)
        self.logits = torch.nn.Parameter(torch.tensor([probability, 1 - probability]).log())

    def forward(self, x: Tensor) -> Tensor:
        return self.logits[:, None, None].expand(len(x), 2, *x.shape[2:])


def test_every_view_is_turned_back() -> None:
    """A step to the right is seen from eight sides: the average is the symmetric answer, edges on all four sides."""
    image = np.zeros((1, 9, 9, 1), np.uint8)
    image[0, 3:6, 3:6] = 200
    mask = relabel([Bright()], image)[0]
    assert (mask == mask.T).all()
    assert (mask == mask[::-1]).all()
    assert mask[3:6, 3:6].sum() == 8  # the square's rim, not its middle
    assert mask.sum() == 8


def test_teachers_answer_the_views_in_turn_and_are_averaged() -> None:
    """Of eight views two teachers answer four each, three teachers three, three and two."""
    images = np.zeros((3, 4, 4, 1), np.uint8)
    a, b = Sure(0.9), Sure(0.2)  # of class 0
    assert (relabel([a], images) == 0).all()
    assert (relabel([b], images) == 1).all()
    assert (relabel([a, b], images) == 0).all()  # 0.55
    assert (relabel([a, b, b], images) == 1).all()  # 0.46
    assert (relabel([b, a, a], images) == 0).all()  # 0.64
    for teachers in ([], [a] * 9):
        with pytest.raises(InputError, match=f"{len(teachers)} teachers: expected 1 to 8"):
            relabel(teachers, images)


def test_noisy_labels_are_mended(tmp_path: Path) -> None:
    clean = discs(48)
    rng = np.random.default_rng(0)
    noisy = np.where(rng.random(clean.masks.shape) < 0.25, 1 - clean.masks, clean.masks).astype(np.uint8)
    weights = np.ones(noisy.shape, np.float32)
    torch.manual_seed(0)
    config = TrainingConfig(
        steps=80, batch_size=8, learning_rate=1e-2, average=0.7, validate_every=80, precision="float32"
    )
    pairs = ArrayPairs(clean.images, noisy, weights)
    model, _ = train_segmenter(UNet(1, 2, width=4, depth=2), pairs, config, progress=False)
    mended = Relabelled(pairs, [model], tmp_path / "masks.npy", block=20, progress=False)
    assert len(mended) == 48
    found = mended.fetch(range(48))
    assert (np.stack([p.mask for p in found]) == clean.masks).mean() > 0.97 > (noisy == clean.masks).mean()
    assert found[3].weights is None
    assert np.array_equal(found[3].image, clean.images[3])


def test_an_interrupted_run_finds_the_masks_that_it_made(tmp_path: Path) -> None:
    class Stopped(Exception):
        pass

    class Stops(Bright):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise Stopped

    pairs, path = discs(8), tmp_path / "masks.npy"
    with pytest.raises(Stopped):
        Relabelled(pairs, [Stops()], path, progress=False)
    assert not path.exists()
    first = Relabelled(pairs, [Bright()], path, progress=False)
    again = Relabelled(pairs, [Stops()], path, progress=False)  # asks no network
    assert np.array_equal(first[5].mask, again[5].mask)
    assert [p.name for p in tmp_path.iterdir()] == ["masks.npy"]
    with pytest.raises(InputError, match="other images: delete it"):
        Relabelled(discs(7), [Bright()], path, progress=False)


def test_only_square_images(tmp_path: Path) -> None:
    oblong = ArrayPairs(np.zeros((2, 8, 16, 1), np.uint8), np.zeros((2, 8, 16), np.uint8))
    with pytest.raises(InputError, match="8 x 16 pixels"):
        Relabelled(oblong, [Bright()], tmp_path / "masks.npy")
