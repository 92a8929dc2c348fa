"""The GPU benchmark at toy sizes: parts that stay when they are finished, that stop in time, and say what they lack."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "gpu.py"


def run(*words: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "ignore", str(SCRIPT), *map(str, words)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.long
def test_a_part_is_measured_once_and_a_slow_one_is_stopped(tmp_path: Path) -> None:
    done = run("--device", "cpu", "--out", tmp_path, "--part", "training")
    assert done.returncode == 0, done.stderr
    first = (tmp_path / "training.json").read_text()
    found = json.loads(first)
    assert found["finished"], found
    assert found["rows"][0]["unit"] == "images/s"
    assert found["rows"][0]["value"] > 0
    done = run("--device", "cpu", "--out", tmp_path, "--part", "training", "live", "--limit", 0.2)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "training.json").read_text() == first
    report = json.loads((tmp_path / "gpu.json").read_text())
    assert report["machine"]["torch"] == torch.__version__
    assert [(part["part"], part["finished"]) for part in report["parts"]] == [("training", True), ("live", False)]
    assert report["parts"][1]["rows"][-1]["note"] == "stopped after 0 s"
    lines = (tmp_path / "gpu.md").read_text().splitlines()
    assert "| part | what | value | unit | note |" in lines
    assert any(line.startswith("| training | tiny, 16 px |") for line in lines)


def test_what_is_not_installed_is_a_row(tmp_path: Path) -> None:
    code = f"""
import sys, importlib.util
sys.path.insert(0, {str(SCRIPT.parent)!r})
spec = importlib.util.spec_from_file_location("gpu", {str(SCRIPT)!r})
gpu = importlib.util.module_from_spec(spec)
sys.modules["gpu"] = gpu
spec.loader.exec_module(gpu)
find = gpu.find_spec
gpu.find_spec = lambda name: None if name in ("pytest", "zstandard") else find(name)
for part in ("tests", "reading"):
    print([row.note for row in gpu.PARTS[part]("cpu")])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["['pytest not installed']", "['zstandard not installed']"], done.stderr


def test_without_a_gpu_the_command_says_what_to_do() -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    done = run()
    assert done.returncode == 2
    assert "--device cpu tries the command at toy sizes" in done.stderr
