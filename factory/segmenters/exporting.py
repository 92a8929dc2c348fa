"""A trained network as ONNX, checked: onnxruntime must answer as the network does here."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from labelfactory.errors import InputError, WorkError
from labelfactory.factory.segmenters.catalogue import load_segmenter
from labelfactory.factory.segmenters.network import Network
from labelfactory.factory.segmenters.order import ModelExportOrder
from labelfactory.interpreters.array_types import Float
from labelfactory.whole_files import whole_path

OPSET = 18
TOLERANCE = 1e-3  # of the largest value of an answer: other kernels add up in another order


class Plain(nn.Module):
    """Images in 0..1 to the network's answer, as a flat tuple of tensors."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Float[Tensor, "batch in height width"]) -> tuple[Tensor, ...]:
        """Every tensor of the answer, in its order."""
        return tuple(tensors_of(self.network(images)))


def tensors_of(answer: Any) -> list[Tensor]:
    """The tensors inside an answer: itself, or those of a tuple, list or library's output, in order."""
    if isinstance(answer, Tensor):
        return [answer]
    parts = answer.values() if isinstance(answer, dict) else answer if isinstance(answer, (tuple, list)) else ()
    return [tensor for part in parts for tensor in tensors_of(part)]


def export_model(order: ModelExportOrder) -> list[str]:
    """Write the file and return the names of its outputs.

    Input ``images``: float32 in 0..1, (batch, channels, size, size); outputs are what the network's decoding reads:
    logits of a segmenter, maps of a network of objects. Task, classes and key points are in the file's metadata.

    Raises:
        InputError: the extra is not installed, or the network cannot leave. WorkError: the answers are not equal.
    """
    if order.out.suffix != ".onnx":
        raise InputError(f"out is {order.out}: expected a name that ends in .onnx")
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        raise InputError("ONNX needs two more libraries: pip install labelfactory[onnx]") from error
    network, recipe = load_segmenter(order.model)
    plain = Plain(network).eval()
    side = network.fitting_size(order.size)
    if side != order.size:
        raise InputError(f"size is {order.size}: this network takes pictures of {side} pixels, or of no size near it")
    images = torch.rand(2, network.in_channels, side, side, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = plain(images)
        names = _names(network(images), len(expected))
    with whole_path(order.out) as path:
        _write(plain, images, names, path)
        model = onnx.load(str(path))
        told = {"task": network.task, "classes": recipe["classes"], "keypoints": recipe.get("keypoints", [])}
        onnx.helper.set_model_props(model, {"labelfactory": json.dumps(told | {"architecture": recipe["name"]})})
        onnx.save(model, str(path))
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        found = session.run(names, {"images": images.numpy()})
        _check_equal([e.numpy() for e in expected], found, names, order.out)
    return names


def _names(answer: Any, count: int) -> list[str]:
    """Names of the tensors of an answer, where it has some."""
    if count == 1:
        return ["logits"]
    fields = getattr(answer, "_fields", None) or (answer.keys() if isinstance(answer, dict) else None)
    own = [name for name, part in zip(fields, answer, strict=True) if part is not None] if fields else []
    return own if len(own) == count else [f"output{k}" for k in range(count)]


def _write(plain: Plain, images: Tensor, names: list[str], path: Path) -> None:
    import logging
    import warnings

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it tells of operators that nobody asked for
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's exporter remarks on itself
            torch.onnx.export(
                plain,
                (images,),
                str(path),
                input_names=["images"],
                output_names=names,
                opset_version=OPSET,
                dynamic_shapes={"images": {0: torch.export.Dim("batch", min=1, max=4096)}},
                external_data=False,
                verbose=False,
                dynamo=True,
            )
    except Exception as error:
        first = re.sub(r"\x1b\[\d*m", "", str(error)).strip().splitlines()[0]
        name = type(plain.network).__name__
        raise InputError(f"{name} cannot be written as ONNX by torch {torch.__version__} ({first})") from error


def _check_equal(expected: list[np.ndarray], found: list[Any], names: list[str], out: Path) -> None:
    for name, ours, theirs in zip(names, expected, found, strict=True):
        largest = max(1e-6, float(np.abs(ours).max()))
        apart = float(np.abs(ours - theirs).max()) if ours.shape == theirs.shape else float("inf")
        if not apart <= TOLERANCE * largest:
            raise WorkError(f"{out}: onnxruntime's {name} is {apart:.3g} off ours of up to {largest:.3g}: not written")
