"""docs/format.md is true: its code runs, its tables name what is there."""

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from storage_data import VALUES, fill, make_arrays, make_spec

from labelfactory.storage import create_store, open_store

PAGE = (Path(__file__).parents[1] / "docs/format.md").read_text(encoding="utf-8")
SPEC = make_spec(
    keypoints=("tip",), keypoint_uncertainty=True, regressor_sha256="ef" * 32, values=VALUES, value_sha256="ab" * 32,
    instance=True, centre_sha256="cd" * 32, crop=(4, 12, 0, 6),
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("format") / "nuclei.zarr"
    fill(create_store(str(folder), SPEC))
    return folder


def code(word):
    (block,) = [block for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if word in block]
    return block


def test_the_reader_written_by_hand_reads(folder):
    names = {}
    exec(code("read_image"), names)
    truth = np.concatenate([make_arrays(SPEC, k)["image"] for k in range(3)])
    for sample in range(10):
        assert np.array_equal(names["read_image"](folder, sample, 4, (8, 6, 3)), truth[sample])


def test_the_lines_for_xarray_work(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    names = {}
    exec(code("open_zarr"), names)
    assert names["images"].shape == (4, 8, 6, 3)


def test_every_array_is_in_the_table_as_it_is(folder):
    rows = {
        row[0]: row
        for row in re.findall(r"^\| `(\w+)`[^|]*\| (\w+) \| ([^|]+) \| ([^|]+) \| (\w+)", PAGE, re.MULTILINE)
    }
    arrays = replace(SPEC, conditions=(0, 1)).arrays()  # of a conditional generator: it has one more
    assert set(rows) == {array.name for array in arrays}
    for array in arrays:
        _, dtype, dims, fill_value, layout = rows[array.name]
        assert dtype == array.dtype
        assert [re.match(r" *(\w+)", word)[1] for word in re.sub(r"\(.*\)", "", dims).split(",")] == list(array.dims)
        assert (layout == "sharded") == array.per_sample
        assert str(array.fill_value).lower() in fill_value.lower()


def test_every_attribute_and_key_is_described(folder):
    attributes = json.loads((folder / "zarr.json").read_text())["attributes"]
    assert [name for name in attributes if f"`{name}`" not in PAGE] == []
    for path in ("manifest.json", "_commits/000000.json"):
        assert [name for name in json.loads((folder / path).read_text()) if f"`{name}`" not in PAGE] == []


def test_a_record_is_checked_as_described(folder):
    text = (folder / "_commits/000001.json").read_text(encoding="utf-8")
    record = json.loads(text)
    stated = record.pop("sha256")
    form = json.dumps(record, sort_keys=True, indent=1, ensure_ascii=False) + "\n"
    assert hashlib.sha256(form.encode()).hexdigest() == stated
    for path, info in record["files"].items():
        data = (folder / path).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (info["bytes"], info["sha256"])
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["commits"][1] == hashlib.sha256(text.encode()).hexdigest()
    assert manifest["attributes"] == json.loads((folder / "zarr.json").read_text())["attributes"]


def test_the_seed_rule_as_written_gives_the_seeds(folder):
    seeds = open_store(str(folder)).spec.seed
    stored = make_arrays(SPEC, 0)["seed"]
    for i in range(4):
        assert np.random.Philox(key=np.array([seeds, i], np.uint64)).random_raw() == stored[i]


def test_the_page_on_reading_runs_from_top_to_bottom(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    page = (Path(__file__).parents[1] / "docs/reading.md").read_text(encoding="utf-8")
    names = {}
    for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(block, names)
    assert names["latents"].shape == (9, 5)
    assert names["image"].shape == (9, 3, 8, 6)
    assert list(names["loader"]) == []  # the nine kept samples were one batch, which had been taken
