"""Verification names exactly what is wrong; repair mends it and proves it."""

import hashlib
import json
import random
import shutil
from pathlib import Path

import pytest
from storage_data import VALUES, fill, make_arrays, make_spec, split_manifests, tree

from labelfactory.storage import InputError, create_store, open_store, repair, verify

SPEC = make_spec(count=22, shard_size=4)


@pytest.fixture(scope="module", params=["one manifest", "in parts"])
def sound(tmp_path_factory, request):
    folder = tmp_path_factory.mktemp("sound") / "set"
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "in parts":
            split_manifests(patch)
        fill(create_store(str(folder), SPEC))
        yield folder


@pytest.fixture
def folder(sound, tmp_path):
    return Path(shutil.copytree(sound, tmp_path / "set"))


def owner(path):
    """The shard that a file belongs to, from its name alone; None for what belongs to the whole store."""
    if path.startswith("_commits/"):
        return int(path[9:15])
    return int(path.split("/")[2]) if "/c/" in path else None


def flip(file, bit):
    data = bytearray(file.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    file.write_bytes(data)


def test_a_sound_store_passes(sound):
    steps = []
    report = verify(str(sound), progress=lambda done, total: steps.append((done, total)))
    assert report.ok
    assert steps[-1] == (6, 6)
    files = tree(sound)
    assert (report.files, report.bytes_read) == (
        len(files) - 1,
        sum(map(len, files.values())) - len(files["manifest.json"]),
    )
    assert json.loads(report.to_json())["ok"] is True
    assert "every byte is as committed (22 samples, 6 shards" in list(report.lines())[-1]


def flips(folder, number):
    """Random bits, a file of every kind in turn."""
    rng, files = random.Random(5), sorted(tree(folder))
    kinds = {}
    for path in files:
        kinds.setdefault(path.split("/")[0] + path.rsplit("/", 1)[-1][:4] * ("zarr" in path), []).append(path)
    for i in range(number):
        path = rng.choice(list(kinds.values())[i % len(kinds)])
        yield path, rng.randrange(8 * (folder / path).stat().st_size)


def test_any_flipped_bit_is_named(folder):
    sound = tree(folder)
    for path, bit in flips(folder, 50):
        flip(folder / path, bit)
        report = verify(str(folder), workers=1)
        assert not report.ok
        assert path in {finding.path for finding in report.findings}, (path, bit)
        assert report.damaged_shards == ([] if owner(path) is None else [owner(path)]), (path, bit)
        (folder / path).write_bytes(sound[path])
    assert verify(str(folder)).ok


@pytest.mark.parametrize("path", ["image/c/2/0/0/0", "seed/c/5", "_commits/000001.json", "keep/c/0", "mask/zarr.json"])
def test_truncation_and_deletion_are_named(folder, path):
    data = (folder / path).read_bytes()
    for damage in (data[: len(data) // 2], b"", None):
        (folder / path).unlink()
        if damage is not None:
            (folder / path).write_bytes(damage)
        report = verify(str(folder))
        assert [finding.path for finding in report.findings] == [path]
        assert report.damaged_shards == ([] if owner(path) is None else [owner(path)])
        (folder / path).write_bytes(data)


def test_swapped_shards_are_both_named(folder):
    for one, two in (("image/c/1/0/0/0", "image/c/4/0/0/0"), ("_commits/000001.json", "_commits/000004.json")):
        a, b = (folder / one).read_bytes(), (folder / two).read_bytes()
        (folder / one).write_bytes(b)
        (folder / two).write_bytes(a)
        assert verify(str(folder)).damaged_shards == [1, 4]
        (folder / one).write_bytes(a)
        (folder / two).write_bytes(b)


def test_a_shard_of_another_dataset_is_named(folder, tmp_path):
    fill(create_store(str(tmp_path / "other"), make_spec(count=22, shard_size=4, seed=8)))
    for path, data in tree(tmp_path / "other").items():
        if owner(path) == 3 and not path.startswith("keep"):
            (folder / path).write_bytes(data)
    report = verify(str(folder))
    assert report.damaged_shards == [3]
    assert "another dataset" in str(report.findings[0])


def test_an_unfinished_store_is_not_sound(tmp_path):
    store = create_store(str(tmp_path / "set"), SPEC)
    store.write_shard(1, make_arrays(SPEC, 1))
    report = verify(str(tmp_path / "set"))
    assert report.damaged_shards == [0, 2, 3, 4, 5]
    assert "not finished" in str(report.findings[0])
    with pytest.raises(InputError, match="not a dataset store"):
        verify(str(tmp_path))


def test_repair_gives_back_every_byte(folder):
    sound = tree(folder)
    kinds = {path.split("/")[0] + path[-9:] * path.endswith("zarr.json"): path for path in sound}
    for path in kinds.values():
        for damage in (bytes([sound[path][0] ^ 8]) + sound[path][1:], None):
            (folder / path).unlink()
            if damage is not None:
                (folder / path).write_bytes(damage)
            mended, failed = repair(verify(str(folder)), lambda shard: make_arrays(SPEC, shard))
            assert mended, path
            assert not failed, path
            assert tree(folder) == sound, path


def test_repair_without_a_generator_mends_what_follows_from_the_rest(folder):
    sound = tree(folder)
    for path in ("zarr.json", "keep/c/1", "_commits/000002.json", "latent/zarr.json"):
        (folder / path).unlink()
    mended, failed = repair(verify(str(folder)))
    assert not failed
    assert tree(folder) == sound
    assert any("commit record rebuilt" in line for line in mended)
    flip(folder / "image/c/2/0/0/0", 50)
    mended, failed = repair(verify(str(folder)))
    assert not mended
    assert failed == ["shard 2: can only be re-made with its generator and interpreter at hand"]


def test_an_interpreter_that_the_store_keeps_is_vouched_for_too(tmp_path):
    model = b"weights" * 1000
    spec = make_spec(interpreter_sha256=hashlib.sha256(model).hexdigest())
    store = create_store(str(tmp_path / "set"), spec)
    path = f"_models/interpreter-{spec.interpreter_sha256}.safetensors"
    store.backend.write({path: model})
    fill(store)
    sound = tree(tmp_path / "set")
    flip(tmp_path / "set" / path, 77)
    report = verify(str(tmp_path / "set"))
    assert [(finding.shard, finding.path) for finding in report.findings] == [(None, path)]
    assert repair(report)[1] == [f"{path}: can only be put back from the model's own file; give it, or make it again"]
    assert repair(report, find_model=lambda sha256: b"another file")[1] != []
    assert repair(report, find_model={spec.interpreter_sha256: model}.get)[1] == []
    assert tree(tmp_path / "set") == sound
    (tmp_path / "set" / path).unlink()
    assert not verify(str(tmp_path / "set")).ok


def test_the_regressors_are_vouched_for_too(tmp_path):
    model = b"weights" * 1000
    spec = make_spec(value_sha256=hashlib.sha256(model).hexdigest(), values=VALUES)
    store = create_store(str(tmp_path / "set"), spec)
    path = f"_models/regressor-{spec.heads['values']}.safetensors"
    store.backend.write({path: model})
    fill(store)
    assert verify(str(tmp_path / "set")).ok
    flip(tmp_path / "set" / path, 77)
    report = verify(str(tmp_path / "set"))
    assert [(finding.shard, finding.path) for finding in report.findings] == [(None, path)]
    assert repair(report)[1] == [f"{path}: can only be put back from the model's own file; give it, or make it again"]
    assert repair(report, find_model={spec.heads["values"]: model}.get) == ([f"{path}: put back"], [])
    assert verify(str(tmp_path / "set")).ok


def test_repair_stores_nothing_that_differs_from_the_record(folder):
    flip(folder / "image/c/2/0/0/0", 50)
    damaged = tree(folder)

    def other(shard):
        arrays = make_arrays(SPEC, shard)
        arrays["image"][0, 0, 0, 0] ^= 1
        return arrays

    mended, failed = repair(verify(str(folder)), other)
    assert not mended
    assert "shard 2: left as it is" in failed[0]
    assert tree(folder) == damaged
    assert open_store(str(folder)).missing() == []
