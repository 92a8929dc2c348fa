"""``train-segmenter --live``: the segmenter that a store's pairs would give, without the store."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import Factory
from tiny_world import CLASSES, TinyWorld

from labelfactory.errors import InputError
from labelfactory.factory import Order, prepare, produce
from labelfactory.factory.pairs.live_pairs import LivePairs
from labelfactory.factory.pairs.opening import open_live
from labelfactory.factory.pairs.store_pairs import StorePairs
from labelfactory.factory.segmenters.catalogue import load_segmenter
from labelfactory.factory.segmenters.order import SegmenterOrder
from labelfactory.factory.segmenters.rounds import train_rounds
from labelfactory.factory.segmenters.settings import TrainingConfig

TINY = {"width": 4, "depth": 1, "padded": True}
COUNT = 48


@pytest.fixture(scope="module")
def store(tiny_world: TinyWorld, tmp_path_factory: pytest.TempPathFactory) -> str:
    out = str(tmp_path_factory.mktemp("live") / "store")
    where = {"generator": str(tiny_world.checkpoint), "labels": str(tiny_world.labels)}
    produce(prepare(Order(**where, out=out, count=COUNT, seed=3, device="cpu"), progress=False), progress=False)
    return out


def order(tiny_world: TinyWorld, out: Path, **changes: object) -> SegmenterOrder:
    plain = SegmenterOrder(
        out=out, live=COUNT, live_seed=3, keep=False, architecture="unet", options=TINY, device="cpu",
        made={"generator": str(tiny_world.checkpoint), "labels": str(tiny_world.labels)},
        training=TrainingConfig(steps=6, batch_size=8, validate_every=3),
    )  # fmt: skip
    return replace(plain, **changes)


def weights(path: Path) -> list[bytes]:
    return [value.numpy().tobytes() for value in load_segmenter(path)[0].state_dict().values()]


def test_live_pairs_teach_what_the_store_s_pairs_teach(tiny_world: TinyWorld, store: str, tmp_path: Path) -> None:
    stored = order(tiny_world, tmp_path / "stored", pairs=(store,), live=None, made={}, uncertainty_temperature=0.1)
    lively = order(tiny_world, tmp_path / "live", uncertainty_temperature=0.1)
    for one in (stored, lively):
        train_rounds(one, progress=False)
    assert weights(tmp_path / "stored") == weights(tmp_path / "live")
    _, recipe = load_segmenter(tmp_path / "live")
    assert recipe["trained_on"] == [{"source": f"live pairs of {tiny_world.checkpoint}", "pairs": COUNT}]
    assert [c["name"] for c in recipe["classes"]] == [c.name for c in CLASSES]


def test_pairs_come_in_any_order_and_with_their_weights(tiny_world: TinyWorld, store: str) -> None:
    wanted = order(tiny_world, Path("x")).live_order()
    assert wanted is not None
    lively, classes = open_live(wanted, keep=False, temperature=0.2, progress=False)
    stored = StorePairs(store, keep=False, temperature=0.2)
    assert isinstance(lively, LivePairs)
    assert (len(lively), [c.name for c in classes]) == (COUNT, ["background", "bright"])
    chosen = [47, 0, 3, *range(40, 5, -1)]  # more than one batch of the generator's
    for mine, theirs in zip(lively.fetch(chosen), stored.fetch(chosen), strict=True):
        assert np.array_equal(mine.image, theirs.image)
        assert np.array_equal(mine.mask, theirs.mask)
        assert mine.weights is not None
        assert np.array_equal(mine.weights, theirs.weights)


def test_an_interrupted_run_goes_on_as_if_nothing_had_been(
    tiny_world: TinyWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    train_rounds(order(tiny_world, whole, keep=True, live=400), progress=False)
    fetch, reads = LivePairs.fetch, [0]

    def failing(self: LivePairs, indices: list[int]) -> list[object]:
        reads[0] += 1
        if reads[0] > 7:  # two looks at the first pair, four steps and one read ahead
            raise KeyboardInterrupt
        return fetch(self, indices)

    with monkeypatch.context() as patched:
        patched.setattr(LivePairs, "fetch", failing)
        with pytest.raises(KeyboardInterrupt):
            train_rounds(order(tiny_world, cut, keep=True, live=400), progress=False)
    assert torch.load(f"{cut}.checkpoint", weights_only=True)["step"] == 3
    train_rounds(order(tiny_world, cut, keep=True, live=400), progress=False)
    assert weights(cut) == weights(whole)


def test_live_pairs_stand_beside_stores_and_are_labelled_anew(
    tiny_world: TinyWorld, store: str, tmp_path: Path
) -> None:
    path = tmp_path / "net"
    train_rounds(order(tiny_world, path, pairs=(store,), rounds=2, live=16), progress=False)
    _, recipe = load_segmenter(path)
    assert [part["pairs"] for part in recipe["trained_on"]] == [COUNT, 16]
    assert [p.name for p in tmp_path.iterdir()] == ["net"]


def test_the_command_makes_its_pairs(tiny_world: TinyWorld, tmp_path: Path, factory: Factory) -> None:
    out = tmp_path / "net.safetensors"
    shape = [word for option in ("width=4", "depth=1", "padded=True") for word in ("--option", option)]
    common = ["train-segmenter", "--out", out, "--architecture", "unet", *shape, "--steps", 2, "--batch-size", 8]
    pairs = ["--generator", tiny_world.checkpoint, "--labels", tiny_world.labels, "--device", "cpu"]
    done = factory(*common, "--live", 32, *pairs, "--truncation", 0.5)
    assert done.code == 0, done.err
    assert "2 steps" in done.out
    _, recipe = load_segmenter(out)
    assert recipe["trained_on"][0]["pairs"] == 32
    for wrong, words in (
        ([*pairs], "generator is of pairs that are made while training: say how many with live"),
        (["--live", 32], "live: pairs are made by a generator; name it"),
        (["--live", 0, *pairs], "live is 0: expected 1 or more"),
        (["--live", 8, *pairs, "--truncation", 9], "truncation is 9.0: expected 0 to 2"),
        (["--live", 8, "--generator", tiny_world.checkpoint], "either an interpreter file or a label set"),
        ([], "nothing to train on"),
    ):
        refused = factory(*common, *wrong)
        assert refused.code == 2, refused.out
        assert words in refused.err


def test_an_order_says_what_it_lacks() -> None:
    with pytest.raises(InputError, match="truncation is of pairs that are made while training"):
        SegmenterOrder(pairs=("store",), out=Path("x"), made={"truncation": 0.5})
    bundled = SegmenterOrder(out=Path("x"), live=5, made={"generator": "builtin:nuclei64"}).live_order()
    assert bundled is not None
    assert bundled.labels == "builtin:nuclei64"
