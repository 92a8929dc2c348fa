"""What earlier versions wrote: it opens, verifies, grows, and equal content still gives equal bytes."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from labelfactory.factory.families import open_generator
from labelfactory.factory.heads.classes import InterpreterSettings, train_from_recording
from labelfactory.factory.labels.encoder import load_encoder
from labelfactory.factory.production.line import produce
from labelfactory.factory.production.order import Order
from labelfactory.factory.production.prepare import prepare
from labelfactory.factory.segmenters.catalogue import load_segmenter
from labelfactory.interpreters import FeatureRegressor, LabelSet, StyleInterpreter
from labelfactory.storage import open_dataset, open_store, verify

# What `all.zarr` was ordered with beside generator, place and count.
ALL = {
    "instances": True,
    "keypoints": "keypoints.safetensors",
    "values": "values.safetensors",
    "centres": "centres.safetensors",
    "precision": "float32",
    "crop": "4:16,0:12",
    "seed": 7,
}


@pytest.fixture
def v01(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the folder, which is the working directory too: the stores name their generator by a relative path."""
    shutil.copytree(Path(__file__).parent / "data" / "v0.1", tmp_path / "v0.1")
    monkeypatch.chdir(tmp_path / "v0.1")
    return tmp_path / "v0.1"


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def committed(store: Path) -> dict[str, str]:
    """Hash of every file that a manifest vouches for, by its path."""
    return {str(p.relative_to(store)): sha256(p) for p in sorted(store.rglob("c/[01]/**/*")) if p.is_file()}


def test_label_set_opens_with_all_its_labels_and_saves_them_alike(v01: Path, tmp_path: Path) -> None:
    labels = LabelSet.load(v01 / "labels")
    assert labels.class_names == ("background", "bright")
    assert [c.name for c in labels.values] == ["depth"]
    assert labels.keypoints == ("centre", "upper end", "lower end")
    assert [s.seed for s in labels] == [0, 1, 2, None]
    assert labels.samples[3].latent is not None
    labels.save(tmp_path / "again")
    for path in sorted((v01 / "labels").rglob("*.p*")):
        assert path.read_bytes() == (tmp_path / "again" / path.relative_to(v01 / "labels")).read_bytes()


def test_models_open_and_save_the_bytes_that_they_were_read_from(v01: Path, tmp_path: Path) -> None:
    generator = open_generator(v01 / "tiny.safetensors", "cpu")
    interpreter = StyleInterpreter.load(v01 / "interpreter.safetensors")
    assert interpreter.generator_sha256 == generator.sha256
    interpreter.save(tmp_path / "again")
    assert sha256(tmp_path / "again") == sha256(v01 / "interpreter.safetensors")
    for kind in ("keypoints", "values", "centres"):
        model = FeatureRegressor.load(v01 / f"{kind}.safetensors")
        assert model.kind == kind
        model.save(tmp_path / "again")
        assert sha256(tmp_path / "again") == sha256(v01 / f"{kind}.safetensors")
    segmenter, recipe = load_segmenter(v01 / "segmenter.safetensors")
    assert (recipe["name"], segmenter.num_classes) == ("unet", 2)
    (encoder,) = (v01 / "cache" / "encoders").glob("*.safetensors")
    load_encoder(encoder)


def test_a_recording_trains_the_same_interpreter(v01: Path) -> None:
    again = train_from_recording(v01 / "features.zarr", InterpreterSettings(members=3), progress=False)
    known = StyleInterpreter.load(v01 / "interpreter.safetensors").state_dict()
    for name, value in again.state_dict().items():
        torch.testing.assert_close(value, known[name], rtol=1e-2, atol=1e-3)  # another processor rounds in its own way


@pytest.mark.parametrize(("name", "more"), [("plain", {}), ("all", ALL)])
def test_a_store_verifies_and_grows_without_a_changed_byte(v01: Path, name: str, more: dict[str, object]) -> None:
    store = v01 / f"{name}.zarr"
    assert verify(str(store)).ok
    before, attributes = committed(store), json.loads((store / "zarr.json").read_text())["attributes"]
    images = open_dataset(str(store), keep=False).read("image", range(10))
    order = Order(
        generator="tiny.safetensors", out=str(store), count=14, interpreter="interpreter.safetensors", shard_size=4,
        device="cpu", **more,
    )  # fmt: skip
    produce(prepare(order, progress=False), progress=False)
    assert open_store(str(store)).spec.hash == attributes["spec_hash"]
    assert json.loads((store / "zarr.json").read_text())["attributes"]["spec_hash"] == attributes["spec_hash"]
    after = committed(store)
    assert before.items() <= after.items()
    grown = open_dataset(str(store), keep=False)
    assert len(grown) == 14
    np.testing.assert_array_equal(grown.read("image", range(10)), images)
    assert verify(str(store)).ok
