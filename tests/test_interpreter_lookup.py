"""Looking a pixel up equals upsampling the whole map."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from interpreter_world import calm
from torch.nn.functional import interpolate

from labelfactory.interpreters.lookup import hypercolumns, interpolation_matrix, look_up

side = st.integers(1, 24)


@calm
@given(source=st.tuples(side, side), target=st.tuples(side, side), seed=st.integers(0, 2**31))
def test_a_looked_up_pixel_is_the_upsampled_maps_pixel(
    source: tuple[int, int], target: tuple[int, int], seed: int
) -> None:
    feature_map = torch.randn(3, *source, generator=torch.Generator().manual_seed(seed))
    whole = interpolate(feature_map[None], target, mode="bilinear", align_corners=False)[0]
    y, x = torch.meshgrid(torch.arange(target[0]), torch.arange(target[1]), indexing="ij")
    found = look_up(feature_map, y.flatten(), x.flatten(), target)
    torch.testing.assert_close(found.T.reshape(3, *target), whole, rtol=0, atol=1e-5)


def test_centres_lie_half_a_pixel_in() -> None:
    """Doubling [0, 4] must give 0, 1, 3, 4: with corners aligned it would be 0, 4/3, 8/3, 4."""
    ramp = torch.tensor([[[0.0, 4.0]]])
    columns = torch.arange(4)
    assert look_up(ramp, torch.zeros_like(columns), columns, (1, 4))[:, 0].tolist() == [0, 1, 3, 4]


def test_hypercolumns_follow_the_order_of_the_maps() -> None:
    maps = [torch.full((2, 4, 4), 1.0), torch.full((1, 8, 8), 2.0)]
    assert hypercolumns(maps, torch.tensor([7]), torch.tensor([0]), (8, 8)).tolist() == [[1, 1, 2]]


@calm
@given(source=side, target=side, data=st.data())
def test_a_band_of_upsampling_is_one_product(source: int, target: int, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, target - 1))
    stop = data.draw(st.integers(start + 1, target))
    row = torch.randn(source, generator=torch.Generator().manual_seed(source * 64 + target))
    first, matrix = interpolation_matrix(start, stop, source, target, torch.float32, torch.device("cpu"))
    whole = interpolate(row[None, None], target, mode="linear", align_corners=False)[0, 0]
    torch.testing.assert_close(matrix @ row[first : first + matrix.shape[1]], whole[start:stop], rtol=0, atol=1e-5)
