"""``train-segmenter`` with a sensor, with pairs like real ones, and on live pairs with siblings."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_world import TinyWorld

from labelfactory.errors import InputError
from labelfactory.factory import Order, prepare, produce
from labelfactory.factory.pairs.opening import open_live
from labelfactory.factory.pairs.store_pairs import StorePairs
from labelfactory.factory.segmenters.catalogue import load_segmenter
from labelfactory.factory.segmenters.order import SegmenterOrder
from labelfactory.factory.segmenters.rounds import train_rounds
from labelfactory.factory.segmenters.settings import TrainingConfig
from labelfactory.factory.sensor.sensor import Row, Sensor

COUNT = 32


@pytest.fixture(scope="module")
def made(tiny_world: TinyWorld) -> dict[str, str]:
    return {"generator": str(tiny_world.checkpoint), "labels": str(tiny_world.labels)}


@pytest.fixture(scope="module")
def store(made: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> str:
    out = str(tmp_path_factory.mktemp("sensor") / "store")
    produce(prepare(Order(**made, out=out, count=COUNT, seed=3, device="cpu"), progress=False), progress=False)
    return out


@pytest.fixture
def order(store: str, tmp_path: Path) -> SegmenterOrder:
    return SegmenterOrder(
        (store,), out=tmp_path / "plain", keep=False, architecture="unet", device="cpu",
        options={"width": 4, "depth": 1, "padded": True},
        training=TrainingConfig(steps=4, batch_size=8, validate_every=2),
    )  # fmt: skip


def weights(order: SegmenterOrder, **changes: object) -> list[bytes]:
    order = replace(order, out=order.out.with_name("-".join(changes) or "plain"), **changes)
    train_rounds(order, progress=False)
    return [value.numpy().tobytes() for value in load_segmenter(order.out)[0].state_dict().values()]


def test_each_option_changes_what_is_learned_and_none_changes_nothing(order: SegmenterOrder, tmp_path: Path) -> None:
    Sensor((Row(grain=0.1),)).save(tmp_path / "grainy.json", {})
    Sensor((Row(),)).save(tmp_path / "nothing.json", {})
    assert all(pair.generated for pair in StorePairs(order.pairs[0]).fetch([0, 1]))
    plain = weights(order)
    grainy = weights(order, sensor=tmp_path / "grainy.json")
    assert grainy != plain
    assert weights(order, rare=0.01) == plain  # no class is that rare: every pair once
    _, recipe = load_segmenter(order.out.with_name("sensor"))
    assert recipe["training"]["augmentation"]["sensor"]["rows"][0]["grain"] == 0.1


def test_another_sensor_is_another_run(order: SegmenterOrder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint of a run without it, or with another one, is not gone on with."""
    Sensor((Row(grain=0.1),)).save(tmp_path / "one.json", {})
    with_sensor = replace(order, sensor=tmp_path / "one.json")
    monkeypatch.setattr("labelfactory.factory.segmenters.rounds.save_segmenter", _stopped)
    with pytest.raises(KeyboardInterrupt):
        train_rounds(with_sensor, progress=False)
    monkeypatch.undo()
    with pytest.raises(InputError, match="belongs to a run with other settings"):
        train_rounds(order, progress=False)
    train_rounds(with_sensor, progress=False)


def _stopped(*_: object) -> None:
    raise KeyboardInterrupt


def test_pairs_are_seen_like_real_ones_in_every_round(order: SegmenterOrder, store: str) -> None:
    weights(order, like=store, rounds=2)  # the second round's labels are of all pairs, seen in the same numbers
    assert load_segmenter(order.out.with_name("like-rounds"))[1]["like"] == store


def test_live_pairs_have_siblings_as_stores_have(made: dict[str, str], tmp_path: Path) -> None:
    plain = SegmenterOrder(out=tmp_path / "x", live=COUNT, live_seed=3, keep=False, made=made | {"siblings": 2})
    wanted = replace(plain, device="cpu").live_order()
    assert wanted is not None
    pairs, _ = open_live(wanted, keep=False, progress=False)
    store = replace(wanted, out=str(tmp_path / "store"))
    produce(prepare(store, progress=False), progress=False)
    stored = StorePairs(store.out, keep=False)
    for mine, theirs in zip(pairs.fetch(range(8)), stored.fetch(range(8)), strict=True):
        assert np.array_equal(mine.mask, theirs.mask)
        assert mine.generated
    assert any((pair.mask == 255).any() for pair in pairs.fetch(range(COUNT)))


def test_wishes_without_effect_are_refused(order: SegmenterOrder, made: dict[str, str], tmp_path: Path) -> None:
    Sensor((Row(grain=0.1),)).save(tmp_path / "one.json", {})
    for folder, picture in (("images", np.full((16, 16), 90, np.uint8)), ("masks", np.eye(16, dtype=np.uint8))):
        (tmp_path / "real" / folder).mkdir(parents=True)
        Image.fromarray(picture).save(tmp_path / "real" / folder / "a.png")
    (tmp_path / "real/classes.json").write_text('[{"name": "background"}, {"name": "bright"}]')
    real = str(tmp_path / "real")
    with pytest.raises(InputError, match=r"a sensor is for generated pictures; those of .* are real"):
        train_rounds(replace(order, pairs=(real,), sensor=tmp_path / "one.json"), progress=False)
    Sensor((Row(cast=(1.1, 1.0, 0.9)),)).save(tmp_path / "colour.json", {})
    with pytest.raises(InputError, match="in colour; those of the pairs have 1 channel"):
        train_rounds(replace(order, sensor=tmp_path / "colour.json"), progress=False)
    with pytest.raises(InputError, match="live pairs have none yet: make a store"):
        train_rounds(replace(order, pairs=(), live=COUNT, made=made, rare=0.5), progress=False)
