"""Networks leave as ONNX: onnxruntime answers as they do, whatever the batch; what cannot leave is named."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import Factory
from object_world import CLASSES, POINTS
from tiny_objects import TINY as OBJECTS
from tiny_segmenters import TINY as SEGMENTERS_TINY

from labelfactory.errors import InputError, WorkError
from labelfactory.factory.segmenters import exporting
from labelfactory.factory.segmenters.architectures import SEGMENTERS
from labelfactory.factory.segmenters.catalogue import build_network, save_segmenter
from labelfactory.factory.segmenters.exporting import export_model, tensors_of
from labelfactory.factory.segmenters.network import Network
from labelfactory.factory.segmenters.order import ModelExportOrder
from labelfactory.factory.segmenters.tasks import Aim

onnxruntime = pytest.importorskip("onnxruntime", reason="the optional extra is not installed: labelfactory[onnx]")
pytest.importorskip("onnx", reason="the optional extra is not installed: labelfactory[onnx]")


def made(name: str, path: Path) -> Network:
    task, tiny = SEGMENTERS[name].tasks[0], {**SEGMENTERS_TINY, **OBJECTS}[name]
    aim = Aim(task, CLASSES, POINTS if task == "keypoints" else ())
    torch.manual_seed(0)
    network = build_network(name, 1, aim, **tiny)
    recipe = {"name": name, "image_channels": 1, "classes": [asdict(c) for c in CLASSES], "options": tiny}
    save_segmenter(network, path, recipe | {"task": task, "keypoints": list(aim.keypoints)})
    return network.eval()


@pytest.mark.parametrize("name", ["unet-small", "panoptic-deeplab"])
def test_other_runtimes_answer_the_same(name: str, tmp_path: Path, factory: Factory) -> None:
    network = made(name, tmp_path / "net.safetensors")
    said = factory("export-model", tmp_path / "net.safetensors", "--out", tmp_path / "net.onnx", "--size", 32)
    assert said.code == 0, said.err
    session = onnxruntime.InferenceSession(str(tmp_path / "net.onnx"), providers=["CPUExecutionProvider"])
    told = json.loads(session.get_modelmeta().custom_metadata_map["labelfactory"])
    assert told["task"] == network.task
    assert [c["name"] for c in told["classes"]] == [c.name for c in CLASSES]
    images = torch.rand(3, 1, 32, 32)  # another batch than it was checked with
    with torch.no_grad():
        ours = tensors_of(network(images))
    theirs = session.run(None, {"images": images.numpy()})
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a.numpy(), b, atol=1e-3 * max(1.0, float(a.abs().max())))
    assert sorted(p.name for p in tmp_path.glob("net*")) == ["net.onnx", "net.safetensors"]


def test_wrong_calls_and_answers_that_differ_leave_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made("unet-small", tmp_path / "net.safetensors")
    with pytest.raises(InputError, match=r"ends in \.onnx"):
        export_model(ModelExportOrder(tmp_path / "net.safetensors", tmp_path / "net.bin"))
    monkeypatch.setattr(exporting, "TOLERANCE", -1.0)
    with pytest.raises(WorkError, match="not written"):
        export_model(ModelExportOrder(tmp_path / "net.safetensors", tmp_path / "net.onnx", 32))
    assert not (tmp_path / "net.onnx").exists()
