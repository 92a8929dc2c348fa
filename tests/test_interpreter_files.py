"""Interpreters on disk: the same model comes back, and nothing else is ever mistaken for one."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from interpreter_world import CHANNELS, calm, scene

from labelfactory.interpreters import InputError, StyleInterpreter
from labelfactory.interpreters.ensemble import ALL_CHANNELS


@pytest.fixture(scope="module")
def model() -> StyleInterpreter:
    model = StyleInterpreter(CHANNELS, 3, members=2, hidden=(6,), directions=20)
    model.classes = [{"name": n, "color": [i, 2 * i, 3 * i]} for i, n in enumerate(("background", "disc", "ring"))]
    model.generator_sha256, model.report = "ab" * 32, {"held_out_accuracy": [0.5, 0.75]}
    with torch.no_grad():
        model.linears[0].weight.copy_(model.linears[0].weight.half())
    return model


def test_a_saved_model_comes_back_whole(model: StyleInterpreter, tmp_path: Path) -> None:
    digest = model.save(tmp_path / "new" / "interpreter.safetensors")
    again = StyleInterpreter.load(tmp_path / "new" / "interpreter.safetensors")
    assert digest == model.sha256 == again.sha256
    assert (again.classes, again.generator_sha256, again.report) == (model.classes, "ab" * 32, model.report)
    assert (again.hidden, again.directions) == ((6,), 20)
    maps, _ = scene(3)
    assert torch.equal(again.predict(maps).uncertainty, model.predict(maps).uncertainty)
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["interpreter.safetensors"]


def test_the_first_layer_takes_two_bytes_a_weight(model: StyleInterpreter) -> None:
    assert len(model.to_bytes()) < 2 * model.linears[0].weight.numel() + 8 * sum(CHANNELS) + 4 * 2 * 24 * 20 + 4000


def test_a_file_from_before_directions_is_still_read() -> None:
    model = StyleInterpreter(CHANNELS, 3, members=2, directions=ALL_CHANNELS)
    content = model.to_bytes()
    first_version = content.replace(b'\\"directions\\": 16384, ', b"").replace(b'\\"version\\": 2', b'\\"version\\": 1')
    length = int.from_bytes(content[:8], "little") - (len(content) - len(first_version))
    again = StyleInterpreter.from_bytes(length.to_bytes(8, "little") + first_version[8:], "x")
    assert again.bases == [None] * len(CHANNELS)
    assert torch.equal(again.linears[0].weight, model.linears[0].weight)


@calm
@given(st.data())
def test_damaged_bytes_are_one_line_never_a_traceback(model: StyleInterpreter, data: st.DataObject) -> None:
    content = bytearray(model.to_bytes())
    if data.draw(st.booleans(), label="truncate"):
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    else:
        for _ in range(data.draw(st.integers(1, 3))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    message = "x: fine"  # a changed weight is still a weight
    try:
        StyleInterpreter.from_bytes(bytes(content), "x")
    except InputError as error:
        message = str(error)
    assert message.startswith("x: ")
    assert "\n" not in message


def test_other_files_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    (tmp_path / "empty").write_bytes(b"")
    for name in ("other.safetensors", "empty", "missing", "."):
        with pytest.raises(InputError) as caught:
            StyleInterpreter.load(tmp_path / name)
        assert "\n" not in str(caught.value)
