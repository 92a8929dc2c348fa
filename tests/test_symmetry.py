"""The square's eight symmetries: one numbering for tensors, arrays and points, with exact inverses."""

import numpy as np
import pytest
import torch

from labelfactory.factory.symmetry import RECTANGLE, dihedral, dihedral_each, dihedral_points, element, undo_dihedral
from labelfactory.factory.training.augment_geometry import blit


@pytest.mark.parametrize("number", range(8))
def test_tensors_and_arrays_move_alike_and_come_back(number: int) -> None:
    x = torch.arange(15.0).reshape(3, 5)
    moved = dihedral(x, number)
    np.testing.assert_array_equal(dihedral(x.numpy(), number), moved.numpy())
    assert torch.equal(undo_dihedral(moved, number), x)
    image = np.random.default_rng(0).integers(0, 256, (4, 4, 3))
    np.testing.assert_array_equal(dihedral(image, number, (0, 1))[..., 1], dihedral(image[..., 1], number))
    np.testing.assert_array_equal(undo_dihedral(dihedral(image, number, (0, 1)), number, (0, 1)), image)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("turns", range(4))
def test_mirroring_and_turning_is_one_of_them(mirrored: bool, turns: int) -> None:
    x = torch.rand(2, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    flip, quarters = torch.tensor([int(mirrored), 0]), torch.tensor([turns, 0])
    numbers = element(flip, quarters)
    assert numbers.tolist() == [element(mirrored, turns), 0]
    expected = torch.rot90(x.flip(-1) if mirrored else x, turns, (-2, -1))
    assert torch.equal(dihedral_each(x, numbers), torch.stack([expected[0], x[1]]))
    # as the generators' training has always turned its images
    assert torch.equal(dihedral_each(x, numbers), blit(x, flip, quarters, torch.zeros(2, 2, dtype=torch.long)))


@pytest.mark.parametrize("number", range(8))
def test_a_point_stays_on_its_pixel(number: int) -> None:
    picture = np.zeros((4, 7))
    picture[1, 5] = 1
    (moved,) = dihedral_points(np.array([[5.5, 1.5]], np.float32), number, 4, 7)
    assert dihedral(picture, number)[int(moved[1]), int(moved[0])] == 1


def test_rectangles_keep_their_size() -> None:
    x = torch.arange(6.0).reshape(2, 3)
    kept = [dihedral(x, number) for number in RECTANGLE]
    assert {tuple(k.shape) for k in kept} == {(2, 3)}
    assert torch.equal(kept[1], x.flip(0, 1))
    assert torch.equal(kept[2], x.flip(1))
    assert torch.equal(kept[3], x.flip(0))
