"""Recorded feature maps train the same interpreter as the generator itself."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import zarr
from tiny_world import TinyWorld

from labelfactory.errors import InputError
from labelfactory.factory.labels.feature_maps import labelled_features
from labelfactory.factory.labels.recording import record_features, recorded_attributes, recorded_features
from labelfactory.interpreters import InputError as LabelError
from labelfactory.interpreters import StyleInterpreter
from labelfactory.interpreters.labelset import LabelSet


def test_recording_equals_the_generator(tiny_world: TinyWorld, tmp_path: Path) -> None:
    labels = LabelSet.load(tiny_world.labels)
    path = record_features(tiny_world.generator, labels, tmp_path / "features.zarr", progress=False)
    live = list(labelled_features(tiny_world.generator, labels, progress=False))
    recorded = list(recorded_features(path))
    assert len(live) == len(recorded) == len(labels)
    for (maps, mask), (maps_read, mask_read) in zip(live, recorded, strict=True):
        assert torch.equal(mask, mask_read)
        for ours, theirs in zip(maps, maps_read, strict=True):
            assert torch.equal(ours[0], theirs)
    fitted = []
    for samples in (live, recorded):
        interpreter = StyleInterpreter(tiny_world.generator.feature_channels, 2, members=2)
        interpreter.fit(iter(samples), progress=False)
        fitted.append(interpreter.sha256)
    assert fitted[0] == fitted[1]


def test_plain_zarr_reads_it_and_it_says_where_it_is_from(tiny_world: TinyWorld, tmp_path: Path) -> None:
    labels = LabelSet.load(tiny_world.labels)
    path = record_features(tiny_world.generator, labels, tmp_path / "features.zarr", progress=False)
    group = zarr.open_group(path, mode="r")
    assert group["features/00"].shape == (len(labels), tiny_world.generator.feature_channels[0], 4, 4)
    assert group["mask"].metadata.dimension_names == ("sample", "y", "x")
    np.testing.assert_array_equal(group["mask"][1], labels.samples[1].mask)
    attributes = recorded_attributes(path)
    assert attributes["generator_sha256"] == tiny_world.generator.sha256
    assert attributes["labels_sha256"] == labels.content_sha256


def test_nothing_is_left_of_a_recording_that_fails(tiny_world: TinyWorld, tmp_path: Path) -> None:
    labels = LabelSet.load(tiny_world.labels)
    other = replace(labels, generator_sha256="0" * 64)
    with pytest.raises(LabelError, match="labels belong to generator"):
        record_features(tiny_world.generator, other, tmp_path / "features.zarr", progress=False)
    unlabelled = replace(labels, samples=(labels.samples[0]._replace(mask=np.full((16, 16), 255, np.uint8)),))
    with pytest.raises(InputError, match="no sample has a label"):
        record_features(tiny_world.generator, unlabelled, tmp_path / "features.zarr", progress=False)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match="folder does not exist"):
        record_features(tiny_world.generator, labels, tmp_path / "no" / "features.zarr", progress=False)


def test_other_things_are_no_recordings(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a recording"):
        recorded_attributes(tmp_path / "nothing.zarr")
    zarr.create_group(tmp_path / "other.zarr")
    with pytest.raises(InputError, match="not a recording"):
        list(recorded_features(tmp_path / "other.zarr"))
    (tmp_path / "text").write_text("hello")
    with pytest.raises(InputError, match="not a recording"):
        recorded_attributes(tmp_path / "text")


def test_an_existing_recording_is_not_overwritten(tiny_world: TinyWorld, tmp_path: Path) -> None:
    (tmp_path / "features.zarr").mkdir()
    with pytest.raises(InputError, match="exists already"):
        record_features(tiny_world.generator, LabelSet.load(tiny_world.labels), tmp_path / "features.zarr")
