"""factory restyle: pairs in another style, from the command line to the store's bytes."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image
from restyle_world import SIZE, write_scenes, write_styles, write_vgg

from labelfactory.factory.pairs.store_pairs import StorePairs
from labelfactory.storage import open_dataset, verify

if TYPE_CHECKING:
    from conftest import Factory

LEARN = ["--kimg", 0.004, "--batch-size", 2, "--device", "cpu", "--precision", "float32"]


class World:
    """Files that several tests start from."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.vgg = write_vgg(folder / "vgg.safetensors")
        self.styles = write_styles(folder / "styles")
        self.many = write_styles(folder / "many", 4)
        self.scenes = write_scenes(folder / "scenes", instances=True, points=True)
        self.adain, self.net, self.gan = (folder / f"{name}.safetensors" for name in ("adain", "net", "gan"))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("restyle"))


@pytest.fixture
def trained(world: World, factory: "Factory") -> World:
    """With a model of each method, made by the commands themselves."""
    if not world.gan.exists():
        given = ["--pictures", world.scenes, "--style", world.styles, "--perceptual-weights", world.vgg, *LEARN]
        small = ["--option", "width=2", "--option", "blocks=1"]
        gan = ["--option", "judge_width=2", "--option", "judge_layers=1", "--pictures", world.many, "--size", "32x48"]
        for arguments in (
            ["train-restyler", *given, "--option", "width=0.125", "--out", world.adain],
            ["train-restyler", *given, "--method", "perceptual", *small, "--out", world.net],
            ["train-synthesis", "--method", "cyclegan", "--pairs", world.scenes, *gan, *small, *LEARN, "--out",
             world.gan],
        ):  # fmt: skip
            result = factory(*arguments)
            assert result.code == 0, result.err
    return world


def arguments(world: World, method: str, out: Path, *more: object) -> list[object]:
    of = {
        "adain": ["--style", world.styles, "--model", world.adain],
        "perceptual": ["--style", world.styles, "--model", world.net],
        "optimise": ["--style", world.styles, "--perceptual-weights", world.vgg, "--iterations", 3],
        "cyclegan": ["--model", world.gan],
    }
    usual = ["--pairs", world.scenes, "--out", out, "--device", "cpu", "--precision", "float32"]
    return ["restyle", "--method", method, *of[method], *usual, *more]


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("method", ["adain", "perceptual", "optimise", "cyclegan"])
def test_every_method_keeps_labels_and_says_where_each_sample_is_from(
    method: str, trained: World, tmp_path: Path, factory: "Factory"
) -> None:
    result = factory(*arguments(trained, method, tmp_path / "a.zarr", "--repair", "none", "--shard-size", 2))
    assert result.code == 0, result.err
    assert "drift of labels" in result.out
    assert "4 pairs" in result.out
    store = open_dataset(str(tmp_path / "a.zarr"), keep=False)
    assert verify(str(tmp_path / "a.zarr")).ok
    numbers = np.arange(4)
    source = [np.array(Image.open(trained.scenes / f"masks/{i:03}.png")) for i in range(4)]
    objects = [np.array(Image.open(trained.scenes / f"instances/{i:03}.png")) for i in range(4)]
    assert (store.read("mask", numbers) == np.stack(source)).all()
    assert (store.read("instance", numbers) == np.stack(objects)).all()
    points = store.read("keypoints", numbers)
    assert np.isnan(points[0]).all()  # was not labelled
    np.testing.assert_allclose(points[2, 0], [12, 8, 1])
    assert (store.read("source_pair", numbers) == numbers).all()
    assert set(store.read("style", numbers)) <= ({0} if method == "cyclegan" else {0, 1, 2})
    assert (store.read("strength", numbers) == 1).all()
    strength = next(a for a in store.spec.arrays() if a.name == "strength")
    assert strength.channels[0].name == method
    pictures = np.stack([np.array(Image.open(trained.scenes / f"images/{i:03}.png")) for i in range(4)])
    assert (store.read("image", numbers) != pictures).mean() > 0.3
    pairs = StorePairs(str(tmp_path / "a.zarr"), keep=False, extra=("instances", "keypoints"))
    assert pairs.points == ("tip",)
    assert pairs[2].instances is not None


def test_made_again_or_gone_on_with_the_bytes_are_the_same(trained: World, tmp_path: Path, factory: "Factory") -> None:
    a, b = tmp_path / "a.zarr", tmp_path / "b.zarr"
    whole = arguments(trained, "adain", a, "--count", 7, "--shard-size", 2)
    assert factory(*whole).code == 0
    assert factory(*arguments(trained, "adain", b, "--count", 3, "--shard-size", 2)).code == 0
    grown = arguments(trained, "adain", b, "--count", 7, "--shard-size", 2)
    assert factory(*grown).code == 0
    one, other = open_dataset(str(a), keep=False), open_dataset(str(b), keep=False)
    for array in one.spec.arrays():
        np.testing.assert_array_equal(one.read(array.name, np.arange(7)), other.read(array.name, np.arange(7)))
    styles, sources = one.read("style", np.arange(7)), one.read("source_pair", np.arange(7))
    assert len({*zip(styles.tolist(), sources.tolist(), strict=True)}) == 7  # a second round gives other styles
    before = contents(a)
    next(path for path in (a / "image/c").rglob("*") if path.is_file()).write_bytes(b"broken")
    assert factory("verify", a).code == 1
    repaired = factory("verify", a, "--repair")  # from what lies in the store, and the model
    assert repaired.code == 0, repaired.out + repaired.err
    assert contents(a) == before


def test_strength_nought_leaves_pictures_alone(trained: World, tmp_path: Path, factory: "Factory") -> None:
    pictures = np.stack([np.array(Image.open(trained.scenes / f"images/{i:03}.png")) for i in range(4)]).astype(int)
    for method in ("perceptual", "optimise", "cyclegan"):
        out = tmp_path / f"{method}.zarr"
        assert factory(*arguments(trained, method, out, "--strength", 0)).code == 0
        store = open_dataset(str(out), keep=False)
        assert abs(store.read("image", np.arange(4)).astype(int) - pictures).max() <= 1


@pytest.mark.parametrize("choice", ["nearest", "random", "round-robin"])
def test_no_pair_gets_a_style_twice(choice: str, trained: World, tmp_path: Path, factory: "Factory") -> None:
    out = tmp_path / "all.zarr"
    result = factory(*arguments(trained, "adain", out, "--choice", choice, "--count", 12))
    assert result.code == 0, result.err
    store = open_dataset(str(out), keep=False)
    styles = store.read("style", np.arange(12)).reshape(3, 4)
    assert (np.sort(styles, 0) == np.arange(3)[:, None]).all()
    if choice == "round-robin":
        assert styles[0].tolist() == [0, 1, 2, 0]


def test_a_picture_that_is_a_style_is_nearest_to_itself(trained: World, tmp_path: Path, factory: "Factory") -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    for index in (2, 0, 3, 1):
        (folder / f"{index}.png").write_bytes((trained.scenes / f"images/{index:03}.png").read_bytes())
    call = arguments(trained, "adain", tmp_path / "own.zarr", "--choice", "nearest")
    call[call.index(trained.styles)] = folder
    assert factory(*call).code == 0
    assert open_dataset(str(tmp_path / "own.zarr"), keep=False).read("style", np.arange(4)).tolist() == [0, 1, 2, 3]


def test_pairs_beyond_repair_are_marked_and_left_out(trained: World, tmp_path: Path, factory: "Factory") -> None:
    """By a limit that nothing passes, and by a network that has hardly learned to draw edges."""
    out = tmp_path / "strict.zarr"
    strict = arguments(trained, "perceptual", out, "--repair", "none", "--max-drift", 0.01)
    assert factory(*strict).code == 0
    store = open_dataset(str(out), keep=False)
    drift, state = store.read("pair_drift", np.arange(4)), store.read("repair", np.arange(4))
    beyond = np.isnan(drift[:, 2]) | (drift[:, 2] > np.maximum(0.01, np.nan_to_num(drift[:, 0])))
    assert beyond.any()
    assert ((state == 3) == beyond).all()
    assert open_dataset(str(out)).samples.tolist() == np.flatnonzero(~beyond).tolist()


def test_grey_and_colour(trained: World, tmp_path: Path, factory: "Factory") -> None:
    grey = write_styles(tmp_path / "grey", grey=True)
    call = arguments(trained, "adain", tmp_path / "a.zarr")
    call[call.index(trained.styles)] = grey
    result = factory(*call)
    assert result.code == 0
    assert "3 of 3 style pictures are grey" in result.out
    scenes = write_scenes(tmp_path / "scenes")
    for path in (scenes / "images").iterdir():
        Image.open(path).convert("L").save(path)
    call = arguments(trained, "adain", tmp_path / "b.zarr")
    call[call.index(trained.scenes)] = scenes
    result = factory(*call)
    assert result.code == 0
    assert "are grey" not in result.out
    assert open_dataset(str(tmp_path / "b.zarr"), keep=False)[0]["image"].shape == (*SIZE, 1)


def test_wrong_calls_say_what_is_wrong(trained: World, tmp_path: Path, factory: "Factory") -> None:
    def refused(*words: str, call: list[object]) -> None:
        result = factory(*call)
        assert result.code == 2, result.err
        assert not list(tmp_path.glob("*.zarr"))
        assert all(word in result.err for word in words), result.err
        assert len(result.err.strip().splitlines()) == 1

    out = tmp_path / "x.zarr"
    refused("count 13", "12 different pictures", call=arguments(trained, "adain", out, "--count", 13))
    refused("count 5", "1 styles", call=arguments(trained, "cyclegan", out, "--count", 5))
    refused("leave style out", call=[*arguments(trained, "cyclegan", out), "--style", trained.styles])
    refused("needs a model", call=[a for a in arguments(trained, "adain", out) if a not in ("--model", trained.adain)])
    other = arguments(trained, "adain", out)
    other[other.index(trained.adain)] = trained.net
    refused("is of method perceptual", call=other)
    strange = write_styles(tmp_path / "strange", 1)
    Image.new("RGB", (40, 40), "red").save(strange / "style0.png")
    unknown = arguments(trained, "perceptual", out)
    unknown[unknown.index(trained.styles)] = strange
    refused("has not learned the style of style0", call=unknown)
    broken = write_styles(tmp_path / "broken")
    (broken / "style1.png").write_bytes(b"no picture")
    call = arguments(trained, "adain", out)
    call[call.index(trained.styles)] = broken
    refused("style1.png", "cannot be read as a picture", call=call)
    uneven = write_scenes(tmp_path / "uneven")
    for kind in ("images", "masks"):
        Image.open(uneven / kind / "002.png").crop((0, 0, 40, 30)).save(uneven / kind / "002.png")
    call = arguments(trained, "adain", out)
    call[call.index(trained.scenes)] = uneven
    refused("002 is 30x40", "give it by size", call=call)
    result = factory(*call, "--size", "32x48")
    assert result.code == 0, result.err
