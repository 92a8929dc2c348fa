"""Weights and their header in one file: what was packed comes back, what was not is refused in one line."""

import hashlib
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from interpreter_world import calm
from torch import nn

from labelfactory.errors import InputError
from labelfactory.tensor_file import TensorFile

FILE = TensorFile("net", "little net", "make it again", most=10**6)


def net(features: int = 3) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, features), nn.BatchNorm1d(features))


def test_what_was_saved_fills_another_module(tmp_path: Path) -> None:
    first = net()
    sha256 = FILE.save(tmp_path / "new" / "net", FILE.pack(first.state_dict(), {"b": [1], "a": "ü"}))
    content = FILE.read(tmp_path / "new" / "net")
    assert hashlib.sha256(content).hexdigest() == sha256
    header, tensors = FILE.unpack(content, "x")
    assert header == {"a": "ü", "b": [1]}
    assert FILE.pack(tensors, header) == content
    with torch.device("meta"):
        second = net()
    FILE.fill(second, tensors, "x")
    for (name, a), b in zip(first.state_dict().items(), second.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["net"]


@calm
@given(st.data())
def test_damaged_bytes_are_one_line_never_a_traceback(data: st.DataObject) -> None:
    content = bytearray(FILE.pack(net().state_dict(), {"a": 1}))
    if data.draw(st.booleans(), label="truncate"):
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    else:
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    message = "x: fine"  # a changed weight is still a weight
    try:
        FILE.fill(net(), FILE.unpack(bytes(content), "x")[1], "x")
    except InputError as error:
        message = str(error)
    assert message.startswith("x: ")
    assert "\n" not in message


def test_weights_that_do_not_fit_are_refused() -> None:
    module = net()
    before = {name: t.clone() for name, t in module.state_dict().items()}
    wrong = {
        "do not have the shapes": net(4).state_dict(),
        "not finite": before | {"0.bias": torch.full((3,), torch.nan)},
        "negative variances": before | {"1.running_var": -torch.ones(3)},
        "is torch.int64; expected torch.float32": before | {"0.bias": torch.ones(3, dtype=torch.int64)},
    }
    for told, tensors in wrong.items():
        with pytest.raises(InputError, match=f"x: .*{told}.*; make it again"):
            FILE.fill(module, tensors, "x")
    with pytest.raises(InputError, match="do not have the shapes"):
        FILE.fill(module, {name: t for name, t in before.items() if name != "0.bias"}, "x")
    assert all(torch.equal(t, before[name]) for name, t in module.state_dict().items())


def test_other_files_are_refused(tmp_path: Path) -> None:
    other = TensorFile("other", "little net", "make it again").pack(net().state_dict(), {})
    for content in (b"", b"text", other, FILE.pack({"w": torch.zeros(300_000)}, {})):
        with pytest.raises(InputError, match="x: is not a whole little net file; make it again"):
            FILE.unpack(content, "x")
    for place in (tmp_path, tmp_path / "none"):
        with pytest.raises(InputError, match="cannot be read"):
            FILE.read(place)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        FILE.save(tmp_path / "file" / "net", b"")
