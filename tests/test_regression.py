"""Continuous labels: what is learned from a few images holds for others, and doubt shows where the members disagree."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from labelfactory.errors import InputError
from labelfactory.interpreters.crop import Crop
from labelfactory.interpreters.regression import FeatureRegressor, RegressionRecipe

CHANNELS = (6, 4)
FAST = RegressionRecipe(pixels_per_image=256, batch_size=128, steps=150)


def scene(seed: int) -> tuple[list[Tensor], Tensor]:
    """Feature maps of two resolutions, and two numbers per pixel that follow from them (one of them not linearly)."""
    rng = torch.Generator().manual_seed(seed)
    maps = [torch.randn(1, 6, 4, 4, generator=rng), torch.randn(1, 4, 16, 16, generator=rng)]
    up = interpolate(maps[0], (16, 16), mode="bilinear")[0]
    return maps, torch.stack([3 * up[0] - 2 * maps[1][0, 1] + 7, up[1].abs()])


def regressor(members: int = 3) -> FeatureRegressor:
    return FeatureRegressor(CHANNELS, ("depth", "height"), members=members)


@pytest.fixture(scope="module")
def trained() -> FeatureRegressor:
    model = regressor()
    model.generator_sha256 = "ab" * 32
    model.fit([scene(i) for i in range(8)], progress=False, recipe=FAST)
    return model


def test_new_images_are_read(trained: FeatureRegressor) -> None:
    errors, total = torch.zeros(2), torch.zeros(2)
    for i in range(100, 104):
        maps, target = scene(i)
        errors += (trained.member_maps(maps).mean(0) - target).square().mean((1, 2))
        total += target.var((1, 2))
    assert (errors / total < 0.25).all()


def test_factored_inference_is_the_plain_definition(trained: FeatureRegressor) -> None:
    maps, _ = scene(7)
    stacked = torch.cat([interpolate(m, (16, 16), mode="bilinear") for m in maps], 1)[0].flatten(1).T
    x = ((stacked - trained.feature_mean) / trained.feature_std).expand(3, -1, -1)
    plain = trained(x) * trained.output_std + trained.output_mean
    torch.testing.assert_close(trained.member_maps(maps).flatten(2), plain.transpose(1, 2), atol=1e-4, rtol=1e-4)


def test_a_batch_is_its_images_one_by_one_and_a_crop_is_cut_from_them(trained: FeatureRegressor) -> None:
    scenes = [scene(i)[0] for i in (7, 8)]
    batch = [torch.cat(maps) for maps in zip(*scenes, strict=True)]
    mean, spread = trained.mean_and_spread(batch)
    crop = Crop(3, 14, 5, 16)
    inner, inner_spread = trained.mean_and_spread(batch, crop)
    for i, maps in enumerate(scenes):
        members = trained.member_maps(maps)
        torch.testing.assert_close(mean[i], members.mean(0), atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(spread[i], members.std(0, correction=0), atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(inner, mean[(..., *crop.slices)], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(inner_spread, spread[(..., *crop.slices)], atol=1e-4, rtol=1e-3)
    assert trained.member_maps(scenes[0], crop).shape == (3, 2, 11, 11)


def test_equal_seeds_give_equal_weights() -> None:
    models = [regressor(), regressor(), regressor()]
    for model, seed in zip(models, (1, 1, 2), strict=True):
        model.fit([scene(0)], seed, progress=False, recipe=RegressionRecipe(steps=3))
    a, b, c = (m.linears[0].weight for m in models)
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_unknown_pixels_do_not_count() -> None:
    maps, target = scene(3)
    spoiled = target.clone()
    spoiled[:, 8:] = torch.nan
    model = regressor(1)
    report = model.fit([(maps, spoiled)], progress=False, recipe=FAST)
    assert report["pixels"] <= 128
    assert bool(model.member_maps(maps).isfinite().all())
    spoiled[1] = torch.nan
    with pytest.raises(InputError, match="no labelled sample knows height"):
        model.fit([(maps, spoiled)], progress=False)


def test_files_come_back_and_foreign_ones_do_not(trained: FeatureRegressor, tmp_path: Path) -> None:
    path = tmp_path / "depth.safetensors"
    trained.save(path)
    again = FeatureRegressor.load(path)
    assert (again.names, again.kind, again.generator_sha256) == (("depth", "height"), "values", "ab" * 32)
    maps, _ = scene(5)
    torch.testing.assert_close(again.member_maps(maps), trained.member_maps(maps), atol=0, rtol=0)
    for damaged in (b"", path.read_bytes()[:-50], b"\x08" + path.read_bytes()[1:]):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match="not a whole regressor"):
            FeatureRegressor.load(path)
    with pytest.raises(InputError, match="cannot be read"):
        FeatureRegressor.load(tmp_path / "nowhere")


def test_wrong_maps_and_targets() -> None:
    maps, target = scene(0)
    with pytest.raises(InputError, match="this regressor was made for"):
        regressor().member_maps(maps[::-1])
    with pytest.raises(InputError, match="labelled sample 0: targets of shape"):
        regressor().fit([(maps, target[:1])], progress=False)
    with pytest.raises(InputError, match="no labelled sample"):
        regressor().fit([], progress=False)
    with pytest.raises(InputError, match="expected the name of a label kind"):
        FeatureRegressor(CHANNELS, ("a",), kind="../classes")


def test_views_of_a_picture_are_held_out_together() -> None:
    """Copies of a picture tell the answer: only held out together do they show what a new picture would cost."""
    random = torch.Generator().manual_seed(0)
    scenes = [(scene(i)[0], torch.randn(2, 16, 16, generator=random)) for i in range(5)]  # nothing to be learned
    copies = [s for s in scenes for _ in range(3)]
    reports = [
        regressor(members=6).fit(copies, progress=False, recipe=FAST, groups=pictures)
        for pictures in ([i // 3 for i in range(15)], None)
    ]
    together, apart = (r["held_out_error"][0] / r["error_of_the_mean"][0] for r in reports)
    assert [r["images"] for r in reports] == [5, 15]
    assert together > 1 > apart
    with pytest.raises(InputError, match="2 groups named"):
        regressor().fit(copies, progress=False, recipe=FAST, groups=[0, 0])
