"""Pairs synthesised from masks: provenance, resuming, repair, what their uncertainty says, and wrong calls."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import zarr
from translation_world import scene, write_pairs

from labelfactory.errors import InputError
from labelfactory.factory.families import open_generator
from labelfactory.factory.pairs.store_pairs import StorePairs
from labelfactory.factory.production.line import produce
from labelfactory.factory.production.store_order import SynthesiseOrder, VerifyOrder
from labelfactory.factory.production.synthesising import prepare_synthesis, views_of
from labelfactory.factory.production.verification import verify_store
from labelfactory.factory.symmetry import dihedral

if TYPE_CHECKING:
    from command_line import Factory

OPTIONS = ["--option", "width=2", "--option", "hidden=4", "--option", "upsamplings=2", "--option", "judge_width=2",
           "--option", "judge_layers=2", "--batch-size", 2, "--kimg", 0.004, "--precision", "float32"]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("world")


@pytest.fixture
def model(folder: Path, factory: "Factory") -> Path:
    """A SPADE that hardly learned, of the scenes in ``folder/scenes``."""
    out = folder / "g.safetensors"
    if not out.exists():
        write_pairs(folder / "scenes", 5)
        result = factory("train-synthesis", "--pairs", folder / "scenes", "--out", out, *OPTIONS)
        assert result.code == 0, result.err
    return out


def order(model: Path, out: Path, count: int = 5, **given: object) -> SynthesiseOrder:
    return SynthesiseOrder(str(model), str(model.parent / "scenes"), count, str(out), **given)  # type: ignore[arg-type]


def bytes_of(store: Path) -> dict[str, bytes]:
    return {p.relative_to(store).as_posix(): p.read_bytes() for p in store.rglob("*") if p.is_file()}


def test_each_sample_says_which_mask_in_which_view_it_is_of(model: Path, tmp_path: Path) -> None:
    made = order(model, tmp_path / "s.zarr", 9, views="mirror", shard_size=4)
    assert produce(prepare_synthesis(made, False), False).kept == 9
    store = zarr.open_group(tmp_path / "s.zarr", mode="r")
    assert store["source_mask"][:].tolist() == [0, 1, 2, 3, 4, 0, 1, 2, 3]
    assert store["view"][:].tolist() == [0] * 5 + [7] * 4
    for index in range(9):
        whole = scene(index % 5)[1]
        assert np.array_equal(store["mask"][index], whole if index < 5 else whole[:, ::-1])
    assert np.isnan(store["uncertainty"][:]).all()  # nobody looked: not known
    assert (store["uncertainty_score"][:] == 0).all()
    assert np.isnan(store["latent"][:]).all()
    assert store["image"].shape == (9, 24, 32, 3)
    assert not np.array_equal(store["image"][0], store["image"][5][:, ::-1])  # made of the mirrored mask, not mirrored


def test_stopped_repaired_or_made_anew_the_bytes_are_the_same(model: Path, tmp_path: Path) -> None:
    job = prepare_synthesis(order(model, tmp_path / "one.zarr", 5, shard_size=2), False)
    produce(job, False)
    whole = bytes_of(tmp_path / "one.zarr")
    shutil.copytree(tmp_path / "one.zarr", tmp_path / "two.zarr")
    for gone in ("_commits/000001.json", "manifest.json"):
        (tmp_path / "two.zarr" / gone).unlink()
    produce(prepare_synthesis(order(model, tmp_path / "two.zarr", 5, shard_size=2), False), False)
    assert bytes_of(tmp_path / "two.zarr") == whole
    damaged = tmp_path / "one.zarr" / "image" / "c" / "0" / "0" / "0" / "0"
    damaged.write_bytes(damaged.read_bytes()[:-3])
    said: list[str] = []
    assert verify_store(VerifyOrder(str(tmp_path / "one.zarr"), repair=True), said.append, False).ok
    assert bytes_of(tmp_path / "one.zarr") == whole


def test_a_store_is_made_again_without_the_folder_of_masks(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The masks lie in the store: repairing needs the model alone."""
    shutil.copytree(model.parent / "scenes", tmp_path / "scenes")
    masks = SynthesiseOrder(str(model), str(tmp_path / "scenes"), 4, str(tmp_path / "s.zarr"), shard_size=2)
    produce(prepare_synthesis(masks, False), False)
    shutil.rmtree(tmp_path / "scenes")
    monkeypatch.setenv("LABELFACTORY_CACHE", str(tmp_path / "another machine"))
    shutil.rmtree(tmp_path / "s.zarr" / "mask" / "c" / "1")
    assert verify_store(VerifyOrder(str(tmp_path / "s.zarr"), repair=True), lambda line: None, False).ok


def test_masks_come_from_a_store_too_and_grow(model: Path, tmp_path: Path) -> None:
    produce(prepare_synthesis(order(model, tmp_path / "a.zarr", 3), False), False)
    again = SynthesiseOrder(str(model), str(tmp_path / "a.zarr"), 3, str(tmp_path / "b.zarr"))
    produce(prepare_synthesis(again, False), False)
    first, second = (zarr.open_group(tmp_path / name, mode="r") for name in ("a.zarr", "b.zarr"))
    assert np.array_equal(first["image"][:], second["image"][:])
    produce(prepare_synthesis(order(model, tmp_path / "a.zarr", 5), False), False)
    assert zarr.open_group(tmp_path / "a.zarr", mode="r")["image"].shape[0] == 5


def test_a_judge_gives_uncertainty_and_a_filter(model: Path, tmp_path: Path, factory: "Factory") -> None:
    judge = tmp_path / "judge.safetensors"
    learned = factory("train-segmenter", "--pairs", model.parent / "scenes", "--steps", 2, "--batch-size", 2,
                      "--option", "width=4", "--out", judge)  # fmt: skip
    assert learned.code == 0, learned.err
    manifest = produce(
        prepare_synthesis(order(model, tmp_path / "s.zarr", 10, views="mirror", judge=judge), False), False
    )
    assert manifest.kept == 9
    store = zarr.open_group(tmp_path / "s.zarr", mode="r")
    doubt, score = store["uncertainty"][:].astype(np.float64), store["uncertainty_score"][:]
    assert np.isfinite(doubt).all()
    assert doubt.min() >= 0
    top = np.sort(doubt.reshape(10, -1), 1)[:, -77:].mean(1)  # a tenth of 768 pixels
    assert score == pytest.approx(top, abs=0.01)
    assert np.isfinite(StorePairs(str(tmp_path / "s.zarr"), temperature=0.5)[0].weights).all()  # type: ignore[arg-type]


def test_uncertainty_that_was_not_measured_is_no_weight(model: Path, tmp_path: Path) -> None:
    produce(prepare_synthesis(order(model, tmp_path / "s.zarr"), False), False)
    assert StorePairs(str(tmp_path / "s.zarr"))[0].mask.shape == (24, 32)
    with pytest.raises(InputError, match="was not measured"):
        StorePairs(str(tmp_path / "s.zarr"), temperature=0.5)[0]


def test_objects_are_turned_with_their_masks(folder: Path, tmp_path: Path, factory: "Factory") -> None:
    scenes = write_pairs(tmp_path / "scenes", 3, instances=True)
    out = tmp_path / "g.safetensors"
    result = factory("train-synthesis", "--pairs", scenes, "--out", out, "--edges", *OPTIONS)
    assert result.code == 0, result.err
    produce(
        prepare_synthesis(SynthesiseOrder(str(out), str(scenes), 6, str(tmp_path / "s.zarr"), "dihedral"), False), False
    )
    store = zarr.open_group(tmp_path / "s.zarr", mode="r")
    for index in (1, 4):
        numbers = dihedral(scene(index % 3)[2], int(store["view"][index]))
        assert np.array_equal(store["instance"][index], numbers)
    without = write_pairs(tmp_path / "plain", 3)
    with pytest.raises(InputError, match="has no instances"):
        prepare_synthesis(SynthesiseOrder(str(out), str(without), 3, str(tmp_path / "t.zarr")), False)


def test_views_keep_the_size() -> None:
    assert views_of("none", (4, 4)) == (0,)
    assert views_of("dihedral", (4, 4)) == tuple(range(8))
    for view in views_of("dihedral", (3, 5)):
        assert dihedral(np.zeros((3, 5)), view).shape == (3, 5)


def test_wrong_calls(model: Path, tmp_path: Path, factory: "Factory") -> None:
    with pytest.raises(InputError, match="count 11: 5 masks in 2 views give 10 different pictures"):
        prepare_synthesis(order(model, tmp_path / "s.zarr", 11, views="mirror"), False)
    with pytest.raises(InputError, match="is a synthesis file of ours, no generator; `factory synthesise`"):
        open_generator(str(model), "cpu")
    classes = tmp_path / "other"
    shutil.copytree(model.parent / "scenes", classes)
    (classes / "classes.json").write_text('[{"name": "x"}, {"name": "y"}, {"name": "z"}]')
    result = factory("synthesise", "--model", model, "--masks", classes, "--count", 2, "--out", tmp_path / "s.zarr")
    assert result.code == 2
    assert "has classes x, y, z; the model makes pictures of ground, disc, square" in result.err
    assert not (tmp_path / "s.zarr").exists()
    again = factory("train-synthesis", "--pairs", classes / "images", "--pictures", classes / "images", "--method",
                    "cyclegan", "--out", tmp_path / "c.safetensors", "--option", "width=2", "--option", "blocks=1",
                    "--option", "judge_width=2", "--option", "judge_layers=1", "--kimg", 0.002)  # fmt: skip
    assert again.code == 0, again.err
    result = factory(
        "synthesise", "--model", tmp_path / "c.safetensors", "--masks", classes, "--count", 2, "--out", "x"
    )
    assert result.code == 2
    assert "cyclegan makes pictures of pictures" in result.err
