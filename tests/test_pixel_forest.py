"""A pixel forest: scipy's filters, scikit-learn's trees, used like any segmenter."""

from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import Factory
from disc_world import discs, write_folder
from scipy import ndimage

from labelfactory.errors import InputError
from labelfactory.factory.pairs.pairs import ArrayPairs
from labelfactory.factory.segmenters.catalogue import load_segmenter
from labelfactory.factory.segmenters.inference import predict
from labelfactory.factory.segmenters.pixel_forest import SCALES, PixelForest, grow, pixel_features, random_forest


def test_filters_are_those_of_scipy() -> None:
    image = np.random.default_rng(0).integers(0, 256, (9, 30, 3), np.uint8)  # smaller than the widest kernel
    found = pixel_features(image, position=True)
    assert found.shape == (270, 3 * 5 * len(SCALES) + 3)
    column = 0
    for x in np.moveaxis(image.astype(np.float64) / 255, -1, 0):
        for sigma in SCALES:
            dy, dx = (ndimage.gaussian_filter(x, sigma, order=o) for o in ((1, 0), (0, 1)))
            yy, xx, xy = (ndimage.gaussian_filter(v, sigma) for v in (dy * dy, dx * dx, dx * dy))
            tensor = np.linalg.eigvalsh(np.stack([np.stack([yy, xy], -1), np.stack([xy, xx], -1)], -1))
            expected = [ndimage.gaussian_filter(x, sigma), ndimage.gaussian_laplace(x, sigma), np.hypot(dy, dx)]
            for k, one in enumerate([*expected, tensor[..., 1], tensor[..., 0]]):
                np.testing.assert_allclose(found[:, column + k], one.ravel(), atol=2e-5)
            column += 5
    assert found[0, -3:].tolist() == pytest.approx([-1, -1, np.sqrt(2)])
    assert found[-1, -3:].tolist() == pytest.approx([1, 1, np.sqrt(2)])


def test_tables_answer_as_the_trees_do() -> None:
    pairs = discs(6)
    x = np.concatenate([pixel_features(image) for image in pairs.images])
    y = 2 * pairs.masks.ravel()  # class 1 of three never occurs
    forest = random_forest(x, y, trees=7, leaf=3)
    model = PixelForest.of(forest, 1, 3, position=False)
    images = discs(3, seed=5).images
    found = model.probabilities(torch.from_numpy(images)).permute(0, 2, 3, 1).reshape(-1, 3).numpy()
    told = forest.predict_proba(np.concatenate([pixel_features(image) for image in images]))
    assert np.abs(found[:, [0, 2]] - told).max() < 1e-3
    assert found[:, 1].max() < 1e-3


def test_labelled_pixels_alone_teach_and_equal_seeds_give_equal_forests() -> None:
    pairs = discs(8)
    masks = pairs.masks.copy()
    masks[:, :, 8:] = 255
    masks[1] = 255
    half = ArrayPairs(pairs.images, masks)
    one, same = (grow(half, 2, trees=5, pixels=500, progress=False) for _ in range(2))
    assert all(torch.equal(value, same.state_dict()[name]) for name, value in one.state_dict().items())
    other = discs(8, seed=3)
    found = one.probabilities(torch.from_numpy(other.images)).argmax(1).numpy()
    assert (found == other.masks).mean() > 0.9
    with pytest.raises(InputError, match="no pixel is labelled"):
        grow(ArrayPairs(pairs.images, np.full_like(masks, 255)), 2, progress=False)


def test_where_a_pixel_lies_is_known_in_large_pictures_too() -> None:
    """The upper half is one class, the lower the other: tiles would each have both."""
    masks = np.zeros((2, 40, 40), np.uint8)
    masks[:, 20:] = 1
    grey = np.full((2, 40, 40, 1), 128, np.uint8)
    forest = grow(ArrayPairs(grey, masks), 2, trees=5, position=True, progress=False)
    found = predict(forest, np.full((300, 40, 1), 128, np.uint8), tile=64, halo=8, blend=8)
    assert (found.argmax(0) == (np.arange(300) >= 150)[:, None]).mean() > 0.98


def test_the_command_as_typed(tmp_path: Path, factory: Factory) -> None:
    write_folder(tmp_path / "real", n=8)
    write_folder(tmp_path / "more", n=4, seed=9)
    file = tmp_path / "forest.safetensors"
    call = ["train-forest", "--pairs", tmp_path / "real", "--trees", 8, "--position"]
    said = factory(*call, "--out", file)
    assert said.code == 0, said.err
    assert "8 trees of up to" in said.out
    loaded, recipe = load_segmenter(file)
    assert isinstance(loaded, PixelForest)
    assert loaded.position
    assert recipe["trained_on"] == [{"source": str(tmp_path / "real"), "pairs": 8}]
    said = factory("evaluate", "--segmenter", file, "--images", tmp_path / "more", "--out", tmp_path / "report")
    assert said.code == 0, said.err
    said = factory("predict", "--segmenter", file, "--images", tmp_path / "more", "--out", tmp_path / "found")
    assert said.code == 0, said.err
    assert len(list((tmp_path / "found" / "masks").iterdir())) == 4
    said = factory("train-segmenter", "--pairs", tmp_path / "real", "--architecture", "pixel-forest", "--out", file)
    assert said.code == 2
    for wrong, says in (((), "Missing option"), (("--pairs", tmp_path / "none"), "expected a dataset store")):
        refused = factory("train-forest", *wrong, "--out", tmp_path / "wrong.safetensors")
        assert refused.code == 2
        assert says in refused.err
    damaged = bytearray(file.read_bytes())
    damaged[len(damaged) // 2 :] = bytes(255 for _ in damaged[len(damaged) // 2 :])  # nodes that lead anywhere
    file.write_bytes(damaged)
    said = factory("predict", "--segmenter", file, "--images", tmp_path / "more", "--out", tmp_path / "again")
    assert said.code in (0, 2)
    assert "Traceback" not in said.err
