"""Wrong labels among right ones: found, listed, left out by readers, and corrected where they come from."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_world import TinyWorld, make_tiny_world

from labelfactory.errors import InputError
from labelfactory.factory.audit.auditing import audit
from labelfactory.factory.audit.correcting import add_suspects
from labelfactory.factory.audit.order import AuditOrder, CorrectionOrder
from labelfactory.factory.audit.surprise import suspicion, wanted_and_given
from labelfactory.factory.latents import latents
from labelfactory.factory.pairs.opening import open_source
from labelfactory.factory.production.line import produce
from labelfactory.factory.production.order import Order
from labelfactory.factory.production.prepare import prepare
from labelfactory.factory.segmenters.order import SegmenterOrder
from labelfactory.factory.segmenters.rounds import train_rounds
from labelfactory.factory.segmenters.settings import TrainingConfig
from labelfactory.interpreters.labelset import LabelSet
from labelfactory.storage import open_dataset


def discs(folder: Path, count: int, planted: dict[int, str], seed: int = 0) -> Path:
    """Bright discs with their masks; those of ``planted`` have a wrong label of the named kind."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:32, :32]
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    (folder / "classes.json").write_text(json.dumps([{"name": "background"}, {"name": "disc", "thing": True}]))
    for k in range(count):
        cy, cx, r = rng.uniform([9, 9, 5], [23, 23, 8])
        mask = ((y - cy) ** 2 + (x - cx) ** 2 < r**2).astype(np.uint8)
        image = (60 + 120 * mask + rng.normal(0, 12, mask.shape)).clip(0, 255).astype(np.uint8)
        if planted.get(k) == "missed":
            mask[:] = 0
        elif planted.get(k) == "shifted":
            mask = np.roll(mask, (5, 5), (0, 1))
        elif planted.get(k) == "swapped":
            mask = 1 - mask
        elif planted.get(k) == "noise":
            mask = np.where(rng.random(mask.shape) < 0.2, 1 - mask, mask).astype(np.uint8)
        Image.fromarray(image).save(folder / "images" / f"{k:04d}.png")
        Image.fromarray(mask).save(folder / "masks" / f"{k:04d}.png")
    return folder


def test_what_a_judge_is_unsure_of_does_not_count() -> None:
    sure, unsure = torch.tensor([0.98, 0.02]), torch.tensor([0.5, 0.5])
    p = sure[:, None, None].expand(2, 16, 16).clone()
    p[:, :, 8:] = unsure[:, None, None]
    clear, hazy = torch.zeros(16, 16, dtype=torch.int64), torch.zeros(16, 16, dtype=torch.int64)
    clear[4:8, 2:6] = 1  # wrong where the judge is sure
    hazy[4:8, 10:14] = 1  # wrong where it cannot know
    found = suspicion(p.expand(2, 2, 16, 16), torch.stack([clear, hazy]))
    assert found.score[0] > 10 * found.score[1].clamp_min(0.1)
    top, left, side = found.window[0].tolist()
    assert top <= 4
    assert left <= 2
    assert top + side >= 6
    assert wanted_and_given(p, clear, found.window[0]) == (0, 1)
    unlabelled = torch.full((1, 16, 16), 255)
    assert float(suspicion(p[None], unlabelled).score) == 0


def test_planted_errors_come_first_and_the_page_shows_them(tmp_path: Path, factory: Callable[..., Any]) -> None:
    kinds = ("missed", "shifted", "swapped", "noise")
    planted = {9 * k + 5: kinds[k % 4] for k in range(8)}
    folder = discs(tmp_path / "discs", 80, planted)
    said = factory(
        "audit", folder, "--out", tmp_path / "audit", "--share", "0.15", "--steps", "30", "--architecture", "unet-small"
    )
    assert "12 suspects" in said.out, said.err
    listed = json.loads((tmp_path / "audit" / "suspects.json").read_text())
    assert {int(s["name"]) for s in listed["suspects"]} >= set(planted)
    missed = next(s for s in listed["suspects"] if int(s["name"]) == 5)
    assert (missed["given"], missed["wanted"]) == ("background", "disc")
    page = (tmp_path / "audit" / "audit.html").read_text()
    assert page.count("<li>") == 12
    assert "http" not in page.replace("labelled", "")
    assert len(np.load(tmp_path / "audit" / "scores.npy")) == 80
    assert not list((tmp_path / "audit").glob(".judge*"))
    left, _ = open_source(str(folder), exclude=tmp_path / "audit" / "suspects.json")
    assert len(left) == 68


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> TinyWorld:
    return make_tiny_world(tmp_path_factory.mktemp("world"), samples=6)


@pytest.fixture(scope="module")
def store(world: TinyWorld, tmp_path_factory: pytest.TempPathFactory) -> str:
    out = str(tmp_path_factory.mktemp("store") / "pairs.zarr")
    order = Order(generator=str(world.checkpoint), labels=str(world.labels), count=40, shard_size=10, out=out)
    produce(prepare(order, progress=False), progress=False)
    return out


def test_readers_honour_the_list_and_a_fix_teaches_its_kin(world: TinyWorld, store: str, tmp_path: Path) -> None:
    suspects = audit(AuditOrder(store, tmp_path / "audit", share=0.1, steps=3, keep=False), progress=False)
    listed = tmp_path / "audit" / "suspects.json"
    assert len(suspects) == 4
    rest = open_dataset(store, keep=False, exclude=listed)
    assert sorted({*rest.samples.tolist()} | {s.index for s in suspects}) == list(range(40))
    assert len(rest) == 36
    order = SegmenterOrder(
        (store,), out=tmp_path / "s.safetensors", exclude=listed, keep=False, training=TrainingConfig(2)
    )
    train_rounds(order, progress=False)
    with pytest.raises(InputError, match="is a list for"):
        train_rounds(
            SegmenterOrder((str(discs(tmp_path / "d", 4, {})),), out=tmp_path / "t.safetensors", exclude=listed)
        )

    labels = tmp_path / "labels"
    LabelSet.load(world.labels).save(labels)
    added = add_suspects(CorrectionOrder(labels, store, listed, most=3))
    assert added == [f"suspect-{s.index:08d}" for s in suspects[:3]]
    grown = LabelSet.load(labels)
    assert len(grown) == 9
    remade = world.generator.generate(latents([grown.samples[-1].origin], 8), grown.truncation).images[0].numpy()
    assert np.abs(remade.astype(int) - grown.samples[-1].image).max() <= 1  # the seed makes the same image
    add_suspects(CorrectionOrder(labels, store, listed, most=3))
    with pytest.raises(InputError, match="has all of these"):
        add_suspects(CorrectionOrder(labels, store, listed, most=3))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is no list of suspects"),
        ('{"suspects": [{"index": 1}]}', "is no list of suspects"),
        ('{"spec_hash": "0", "suspects": []}', "for another data set"),
        ('{"spec_hash": "HASH", "suspects": [{"index": 40}]}', "names sample 40; expected 0 to 39"),
        ('{"spec_hash": "HASH", "suspects": [{"index": true}]}', "names sample True"),
    ],
)
def test_lists_of_others_are_refused(store: str, tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "list.json"
    path.write_text(text.replace("HASH", open_dataset(store).spec.hash))
    with pytest.raises(InputError, match=message):
        open_dataset(store, exclude=path)
