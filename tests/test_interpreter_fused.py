"""The GPU kernel, run by Triton's interpreter where there is no GPU: equal to the definition."""

import pytest
import torch
from interpreter_world import scene

from labelfactory.interpreters import Recipe, StyleInterpreter, fused

pytest.importorskip("triton", reason="Triton is not installed")

CHANNELS, SIZES = (24, 16, 8), (4, 8, 16)


@pytest.fixture(scope="module")
def model() -> StyleInterpreter:
    model = StyleInterpreter(CHANNELS, 3, members=2, hidden=(32, 16), directions=12)
    samples = [scene(i, SIZES, CHANNELS) for i in range(4)]
    model.fit(samples, progress=False, recipe=Recipe(pixels_per_image=300, max_epochs=4))
    return model


@pytest.mark.parametrize("with_top", [True, False])
def test_kernel_equals_the_definition(model: StyleInterpreter, with_top: bool) -> None:
    maps, _ = scene(50, SIZES, CHANNELS)
    if not with_top:  # heights and widths come from different maps: no map has the output's size, 12 x 18
        maps[1] = torch.nn.functional.interpolate(maps[1], (12, 8))
        maps[2] = torch.nn.functional.interpolate(maps[2], (10, 18))
    plain = model.predict_reference(maps)
    exact = fused.predict(model, maps, torch.float32, 2**20)
    assert torch.equal(exact.mask, plain.mask)
    assert (exact.uncertainty - plain.uncertainty).abs().max() < 1e-3
    torch.testing.assert_close(exact.score, plain.score, rtol=1e-4, atol=1e-5)


def test_half_precision_stays_within_its_bounds(model: StyleInterpreter) -> None:
    pair = zip(scene(51, SIZES, CHANNELS)[0], scene(52, SIZES, CHANNELS)[0], strict=True)
    maps = [torch.cat(p) for p in pair]  # with a budget for one image at a time
    plain, half = model.predict_reference(maps), fused.predict(model, maps, torch.float16, 1)
    assert (half.mask == plain.mask).float().mean() >= 0.995
    assert (half.uncertainty - plain.uncertainty).abs().max() < 1e-2


@pytest.mark.parametrize(
    ("classes", "hidden", "sizes", "channels", "directions"),
    [
        (34, (256, 128), (4, 8), (20, 12), 12),  # the widths of many classes
        (3, (32, 16), (4, 8, 16), (24, 40, 5), 32),  # largest maps beyond one block of channels; all channels of others
        (2, (16, 16), (3, 5, 13), (6, 5, 7), 32),  # sizes that are no powers of two, tiles that hang over
    ],
)
def test_every_shape_equals_the_definition(
    classes: int, hidden: tuple[int, ...], sizes: tuple[int, ...], channels: tuple[int, ...], directions: int
) -> None:
    model = StyleInterpreter(channels, classes, members=3, hidden=hidden, directions=directions)
    random = torch.Generator().manual_seed(1)
    for name, value in model.named_parameters():
        value.add_(torch.randn(value.shape, generator=random) * (0.3 if "bias" in name else 0.02))
    maps = [torch.randn(2, c, s, s + 3, generator=random) for c, s in zip(channels, sizes, strict=True)]
    plain, exact = model.predict_reference(maps), fused.predict(model, maps, torch.float32, 2**30)
    assert plain.mask.unique().numel() > 1
    assert (exact.mask != plain.mask).float().mean() < 1e-3  # random members tie often, and rounding decides ties
    assert (exact.uncertainty - plain.uncertainty).abs().max() < 1e-3
