"""A damaged store is mended from outside: every kind of model from its file or the cache, every shard by its models."""

import shutil
from pathlib import Path

import pytest
from command_line import Factory
from storage_data import tree

from labelfactory.errors import InputError, WorkError
from labelfactory.factory.production.remaking import ModelFiles, shard_maker
from labelfactory.storage import open_store, repair, stored_spec, verify
from labelfactory.storage.metadata import model_paths

KINDS = ("interpreter", "keypoints", "values", "centres")


@pytest.fixture
def v01(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store with every kind of array beside its models' files; the store names its generator by a relative path."""
    shutil.copytree(Path(__file__).parent / "data" / "v0.1", tmp_path / "v0.1")
    monkeypatch.chdir(tmp_path / "v0.1")
    monkeypatch.setenv("LABELFACTORY_CACHE", str(tmp_path / "cache"))
    return tmp_path / "v0.1"


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def test_models_of_every_kind_are_put_back_from_files_and_from_the_cache(v01: Path, tmp_path: Path) -> None:
    store, sound = str(v01 / "all.zarr"), tree(v01 / "all.zarr")
    kept = list((v01 / "all.zarr" / "_models").iterdir())
    assert len(kept) == 4
    spec = stored_spec(store)
    for path in kept:
        damage(path)
    assert len(repair(verify(store), find_model=ModelFiles(spec).read)[1]) == 4
    given = ModelFiles(spec, [v01 / f"{kind}.safetensors" for kind in KINDS])
    mended, failed = repair(verify(store), find_model=given.read)
    assert (len(mended), failed) == (4, [])
    assert tree(v01 / "all.zarr") == sound
    for name, sha256 in model_paths(spec).items():
        folder = tmp_path / "cache" / ("interpreters" if "interpreter" in name else "regressors")
        folder.mkdir(parents=True, exist_ok=True)
        (v01 / "all.zarr" / name).rename(folder / f"{sha256}.safetensors")
    mended, failed = repair(verify(store), find_model=ModelFiles(spec).read)
    assert (len(mended), failed) == (4, [])
    assert tree(v01 / "all.zarr") == sound


def test_a_file_of_another_dataset_is_refused(v01: Path) -> None:
    spec = stored_spec(str(v01 / "plain.zarr"))
    with pytest.raises(InputError, match=r"values\.safetensors: not a model of this dataset"):
        ModelFiles(spec, [v01 / "values.safetensors"])
    with pytest.raises(InputError, match="cannot be read"):
        ModelFiles(spec, [v01 / "nothing.safetensors"])


def test_a_shard_is_made_again_from_files_that_the_store_has_lost(v01: Path) -> None:
    store = str(v01 / "all.zarr")
    shutil.rmtree(v01 / "all.zarr" / "_models")
    files = ModelFiles(stored_spec(store), [v01 / f"{kind}.safetensors" for kind in KINDS])
    made = shard_maker(store, files, device="cpu")(2)
    with open_store(store) as opened:
        record, _ = opened.encode(2, made)
    assert (record.start, record.stop) == (8, 10)
    with pytest.raises(WorkError, match="can only be re-made with its generator and interpreter at hand"):
        shard_maker(store, ModelFiles(stored_spec(store)), device="cpu")(2)
    with pytest.raises(WorkError, match=r"at hand: .*elsewhere"):
        shard_maker(store, files, generator=str(v01 / "elsewhere.pkl"), device="cpu")(2)


def test_the_command_takes_any_number_of_models(v01: Path, factory: Factory) -> None:
    sound = tree(v01 / "all.zarr")
    for path in (v01 / "all.zarr" / "_models").iterdir():
        path.unlink()
    call = ["verify", v01 / "all.zarr", "--repair"]
    assert factory(*call).code == 1
    done = factory(*call, *(word for kind in KINDS for word in ("--model", v01 / f"{kind}.safetensors")))
    assert done.code == 0, done.err
    assert done.out.count("put back") == 4
    assert tree(v01 / "all.zarr") == sound
