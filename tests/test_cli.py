"""Every wrong call gives one line and exit code 2; a right one 0."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from command_line import Factory, Result
from PIL import Image
from tiny_world import TinyWorld

from labelfactory.interpreters.labelset import LabelSet


def assert_refused(result: Result, *words: str) -> None:
    assert result.code == 2, result.err
    last = result.err.strip().splitlines()[-1]
    assert "Traceback" not in result.err
    for word in words:
        assert word in last, result.err


def test_generate_and_resume(factory: Factory, tiny_world: TinyWorld, tmp_path: Path) -> None:
    call = ["generate", "--generator", tiny_world.checkpoint, "--labels", tiny_world.labels, "--count", 50]
    call += ["--out", tmp_path / "store.zarr"]
    for _ in range(2):
        result = factory(*call)
        assert result.code == 0, result.err
        assert "50 pairs, 45 of them to keep" in result.out


def test_train_interpreter_then_generate_with_its_file(factory: Factory, tiny_world: TinyWorld, tmp_path: Path) -> None:
    file, store = tmp_path / "interpreter.safetensors", tmp_path / "store.zarr"
    call = ["train-interpreter", "--generator", tiny_world.checkpoint, "--labels", tiny_world.labels]
    trained = factory(*call, "--members", 3, "--out", file)
    assert trained.code == 0, trained.err
    assert "held-out pixel accuracy" in trained.out
    result = factory(
        "generate", "--generator", tiny_world.checkpoint, "--interpreter", file, "--count", 10, "--out", store
    )
    assert result.code == 0, result.err


def test_an_interpreter_is_trained_again_without_its_generator(
    factory: Factory, tiny_world: TinyWorld, tmp_path: Path
) -> None:
    recording, first, second = tmp_path / "maps.zarr", tmp_path / "first.safetensors", tmp_path / "second.safetensors"
    call = ["--generator", tiny_world.checkpoint, "--labels", tiny_world.labels, "--members", 2]
    assert factory("train-interpreter", *call, "--record", recording, "--out", first).code == 0
    assert factory("train-interpreter", "--features", recording, "--members", 2, "--out", second).code == 0
    assert second.read_bytes() == first.read_bytes()
    assert_refused(factory("train-interpreter", "--features", recording, *call, "--out", second), "stands alone")
    assert_refused(factory("train-interpreter", "--out", second), "give --generator and --labels")


def test_bad_calls(factory: Factory, tiny_world: TinyWorld, tmp_path: Path) -> None:
    def generate(**change: object) -> Result:
        options = {"generator": tiny_world.checkpoint, "labels": tiny_world.labels, "count": 10}
        options |= {"out": tmp_path / "store.zarr"} | change
        return factory("generate", *(f"--{k}={v}" for k, v in options.items()))

    assert_refused(generate(generator="builtin:unknown"), "builtin:unknown", "expected")
    assert_refused(generate(labels=tmp_path / "missing"), "missing", "no such folder")
    assert_refused(generate(count=0), "count is 0")
    (tmp_path / "file").write_text("")
    assert_refused(generate(out=tmp_path / "file" / "store.zarr"), "file")

    def broken_labels(name: str, mask: np.ndarray | None = None, sha256: str | None = None) -> Path:
        folder = tmp_path / name
        LabelSet.load(tiny_world.labels).save(folder)
        if mask is not None:
            picture = Image.fromarray(mask, "L").convert("P")
            picture.save(folder / "masks" / "0000.png")
        if sha256 is not None:
            text = (folder / "labelset.json").read_text()
            (folder / "labelset.json").write_text(text.replace(tiny_world.generator.sha256, sha256))
        return folder

    assert_refused(generate(labels=broken_labels("size", np.zeros((8, 16), np.uint8))), "mask is 16 x 8")
    assert_refused(generate(labels=broken_labels("class", np.full((16, 16), 7, np.uint8))), "class id 7")
    assert_refused(generate(labels=broken_labels("other", sha256="3" * 64)), "labels belong to generator")
    assert not (tmp_path / "store.zarr").exists()


@pytest.mark.parametrize("call", [["unknown"], ["generate"], ["generate", "--count", "many"]])
def test_usage_errors(factory: Factory, call: list[str]) -> None:
    result = factory(*call)
    assert result.code == 2
    assert "Traceback" not in result.err


def test_help_names_every_command(factory: Factory) -> None:
    result = factory("--help")
    assert result.code == 0
    for command in ("demo", "generate", "train-interpreter"):
        assert command in result.out


def test_the_installed_program_ends_with_the_exit_code() -> None:
    command = [sys.executable, "-W", "ignore", "-m", "labelfactory", "generate", "--generator=builtin:no"]
    ended = subprocess.run(
        [*command, "--count=1", "--out=x", "--labels=y"], capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 2
    assert ended.stderr.startswith("factory: builtin:no")
    assert len(ended.stderr.strip().splitlines()) == 1
