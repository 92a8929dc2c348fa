"""Continuous labels in stores: they keep their range and meaning, and older stores stay what they are."""

import io
import re
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image
from storage_data import VALUES, fill, make_arrays, make_spec

from labelfactory.storage import (
    DatasetSpec,
    InputError,
    ValueInfo,
    contact_sheet,
    create_store,
    finalize,
    html_report,
    open_dataset,
    verify,
)
from labelfactory.storage.exports import export
from labelfactory.storage.show import triptychs
from labelfactory.storage.torch_dataset import MapDataset

SPEC = make_spec(values=VALUES, value_sha256="ef" * 32)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("values") / "set"
    fill(create_store(str(folder), SPEC))
    return open_dataset(str(folder), fields=("image", "value", "value_uncertainty"))


def test_readers_give_values_and_their_uncertainty(dataset):
    truth = np.concatenate([make_arrays(SPEC, k)["value"] for k in range(SPEC.num_shards)])
    sample = dataset[3]
    np.testing.assert_array_equal(sample["value"], truth[dataset.samples[3]])
    assert sample["value_uncertainty"].shape == (8, 6, 2)
    tensors = MapDataset(dataset)[3]
    assert torch.equal(tensors["value"], torch.from_numpy(truth[dataset.samples[3]]).movedim(-1, 0))
    assert dataset.spec.by_role("values")[0].channels == VALUES
    assert verify(dataset.uri).ok


def test_a_store_of_values_grows(tmp_path):
    place = str(tmp_path / "set")
    fill(create_store(place, make_spec(values=VALUES, count=6)))
    fill(create_store(place, make_spec(values=VALUES, count=10)))
    assert verify(place).ok
    truth = np.concatenate([make_arrays(make_spec(values=VALUES), k)["value"] for k in range(3)])
    np.testing.assert_array_equal(open_dataset(place, keep=False).read("value", range(10)), truth)
    with pytest.raises(InputError, match=r"holds another dataset: values is .*depth"):
        create_store(place, make_spec(values=(ValueInfo("depth", "m", 0.0, 11.0), VALUES[1])))


@pytest.mark.parametrize("wrong", [np.nan, -0.5, 10.5, np.inf])
def test_numbers_outside_their_range_are_not_written(tmp_path, wrong):
    with create_store(str(tmp_path / "set"), SPEC) as store:
        arrays = make_arrays(SPEC, 0)
        arrays["value"][2, 1, 1, 0] = wrong
        with pytest.raises(InputError, match=r"value is \S+ in depth, which reaches from 0 to 10 m"):
            store.write_shard(0, arrays)


def test_verify_looks_at_what_the_numbers_say(tmp_path, monkeypatch):
    arrays = make_arrays(SPEC, 0)
    arrays["value"][0, 0, 0, 1] = 2
    with create_store(str(tmp_path / "set"), SPEC) as store:
        monkeypatch.setattr("labelfactory.storage.checks.range_problem", lambda array, values: None)
        store.write_shard(0, arrays)
        for shard in (1, 2):
            store.write_shard(shard, make_arrays(SPEC, shard))
        monkeypatch.undo()
        finalize(store)
    [finding] = verify(str(tmp_path / "set")).findings
    assert str(finding) == "shard 0: value/c/0/0/0/0: is 2 in slope, which reaches from -1 to 1"


def test_stores_of_earlier_releases_keep_their_hash():
    """What the first releases wrote for these two; nothing that was added since may change it."""
    assert make_spec().hash == "91bbdacbc5507a94d54e37076bd87674ae5966a7180b6531cf538b389574efe8"
    full = make_spec(keypoints=("tip",), value=True, instance=True, regressor_sha256="ef" * 32)
    assert full.hash == "c4d050db55d443ae70032ad61897bd035ba54f87d71f4e584186e7071a6e34c1"
    assert DatasetSpec.from_json(full.to_json()) == full
    [value] = [a for a in full.arrays() if a.name.startswith("value")]
    assert value.dims == ("sample", "y", "x")
    assert DatasetSpec.from_json(SPEC.to_json()) == SPEC


def test_specs_that_make_no_sense():
    with pytest.raises(InputError, match="expected a name and a range"):
        ValueInfo("depth", "m", 3.0, 3.0)
    with pytest.raises(InputError, match="expected different names"):
        make_spec(values=(VALUES[0], VALUES[0]))
    for crop in ((0, 8), (0, 8, 0, 7), (-1, 7, 0, 6), (0, 8, 0, 6, 1)):
        with pytest.raises(InputError, match=r"crop is .*expected top, bottom, left, right of 8 rows, 6 columns"):
            make_spec(crop=crop)
    assert make_spec(crop=(4, 12, 0, 6)).hash != make_spec().hash


def test_pictures_have_a_panel_a_channel(dataset, tmp_path):
    plain = triptychs(dataset, [0], 1.0, [(0.0, 10.0), (-1.0, 1.0)])[0]
    assert plain.width == plain.height * 6 / 8 * 5  # image, classes, uncertainty, depth, slope
    contact_sheet(dataset, tmp_path / "sheet.png", n=2)
    html_report(dataset, tmp_path / "report.html", n=2)
    text = (tmp_path / "report.html").read_text()
    assert re.search(r"depth \(black 0\.?\d*, yellow [\d.]+ m\), slope \(black 0\.?\d*, yellow [\d.]+\)", text)
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > plain.width


def test_exports_hold_the_numbers_bit_for_bit(dataset, tmp_path):
    export(dataset, "png", tmp_path / "png")
    export(dataset, "webdataset", tmp_path / "web")
    for sample in dataset.samples[:3].tolist():
        truth = dataset.read("value", [sample])[0]
        np.testing.assert_array_equal(np.load(tmp_path / f"png/values/{sample:09d}.npy"), truth)
    with tarfile.open(tmp_path / "web/shard-000000.tar") as tar:
        data = tar.extractfile(f"{dataset.samples[0]:09d}.value_uncertainty.npy").read()
    np.testing.assert_array_equal(np.load(io.BytesIO(data)), dataset.read("value_uncertainty", dataset.samples[:1])[0])
    assert '"unit": "m"' in (tmp_path / "png/classes.json").read_text()
