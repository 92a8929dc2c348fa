"""``factory verify``, ``show`` and ``export`` as they are typed, up to the repair of a shard by its own models."""

import json
from pathlib import Path

import pytest
from PIL import Image
from storage_data import fill, make_spec, tree
from tiny_world import TinyWorld

from labelfactory.storage import create_store


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    fill(create_store(str(tmp_path / "nuclei.zarr"), make_spec()))
    return tmp_path / "nuclei.zarr"


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[10] ^= 1
    path.write_bytes(data)


def test_verify_says_yes_with_0_and_names_damage_with_1(factory, folder, tmp_path):
    good = factory("verify", folder)
    assert good.code == 0
    assert "every byte is as committed (10 samples" in good.out
    damage(folder / "image/c/1/0/0/0")
    bad = factory("verify", folder, "--json", tmp_path / "report.json")
    assert bad.code == 1
    assert "shard 1: image/c/1/0/0/0: has another sha256 than was committed" in bad.out
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["ok"], report["damaged_shards"]) == (False, [1])
    unmended = factory("verify", folder, "--repair")
    assert unmended.code == 1
    assert "not repaired: shard 1: " in unmended.out


def test_status_and_a_backfill_as_they_are_typed(factory, tiny_world: TinyWorld, tmp_path):
    store = tmp_path / "store.zarr"
    call = ["generate", "--generator", tiny_world.checkpoint, "--labels", tiny_world.labels, "--count", 50]
    call += ["--shard-size", 10, "--out", store]
    part = factory(*call, "--shards", "1:3")
    assert part.code == 0
    assert "2 shards chosen (1-2)" in part.out
    assert "not finished, 3 of 5 shards are missing (0, 3-4)" in part.out
    told = factory("status", store)
    assert (told.code, told.out.splitlines()[1:]) == (0, ["0 missing", "1-2 done", "3-4 missing"])
    found = json.loads(factory("status", store, "--json").out)
    assert (found["done"], found["missing"], found["ranges"][1]["last"]) == (2, 3, 2)
    for wrong in ("5", "2:9", "most"):
        refused = factory(*call, "--shards", wrong)
        assert refused.code == 2
        assert refused.err.count("\n") == 1
    assert factory(*call, "--shards", "missing").code == 0
    assert factory("status", store).out.splitlines()[1:] == ["0-4 done"]
    whole = tmp_path / "whole.zarr"
    assert factory(*call[:-1], whole).code == 0
    assert tree(store) == tree(whole)


def test_repair_makes_a_shard_again_with_its_models(factory, tiny_world: TinyWorld, tmp_path):
    store = tmp_path / "store.zarr"
    call = ["generate", "--generator", tiny_world.checkpoint, "--labels", tiny_world.labels, "--count", 50]
    assert factory(*call, "--shard-size", 20, "--out", store).code == 0
    sound = tree(store)
    damage(store / "image/c/1/0/0/0")
    (store / "mask/c/2/0/0").unlink()
    damage(store / "zarr.json")
    damage(next((store / "_models").iterdir()))
    result = factory("verify", store, "--repair")
    assert result.code == 0, result.err
    for line in (
        "shard 1: re-made, equal to its commit record",
        "shard 2: re-made, equal",
        "zarr.json: rebuilt",
        "safetensors: put back",
    ):
        assert line in result.out
    assert tree(store) == sound


def test_show_draws_a_sheet_and_a_report(factory, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = factory("show", folder, "-n", 3, "--html", tmp_path / "report.html")
    assert result.code == 0, result.err
    with Image.open(tmp_path / "nuclei_contact_sheet.png") as sheet:
        assert sheet.width > 600
    assert (tmp_path / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_export_writes_and_resumes(factory, folder, tmp_path):
    for _ in range(2):
        result = factory("export", folder, "--format", "png", "--out", tmp_path / "out")
        assert result.code == 0, result.err
        assert "9 samples" in result.out
        assert "read back equal" in result.out
    assert len(list((tmp_path / "out/images").iterdir())) == 9


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["verify", "nowhere"], "not a dataset store"),
        (["verify", "{folder}", "--workers", "0"], "expected 1 to 64"),
        (["show", "nowhere"], "not a dataset store"),
        (["show", "{folder}", "-n", "0"], "expected 1 or more"),
        (["show", "{folder}", "--out", "no/such/sheet.png"], "folder does not exist"),
        (["export", "{folder}", "--format", "gif", "--out", "out"], "expected one of png"),
        (["export", "{folder}", "--format", "png", "--out", "{folder}"], "holds something else"),
    ],
)
def test_wrong_calls_are_one_line_and_2(factory, folder, tmp_path, monkeypatch, arguments, word):
    monkeypatch.chdir(tmp_path)
    before = tree(tmp_path)
    result = factory(*(argument.format(folder=folder) for argument in arguments))
    assert result.code == 2, result.err
    last = result.err.strip().splitlines()[-1]
    assert word in last
    assert "Traceback" not in result.err
    assert tree(tmp_path) == before
