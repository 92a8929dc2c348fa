"""The study of objects end to end in miniature: one labelled crop to pairs to networks, in pieces, and its table."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
TINY = ["--steps", "4", "--batch-size", "4", "--pairs", "8", "--val", "12", "--inversion-steps", "2",
        "--encoder-steps", "2", "--min-fidelity", "0", "--precision", "float32"]  # fmt: skip
CELLS = ["centernet-labelled-01", "centernet-factory-01", "hourglass-factory-01"]


@pytest.mark.long
def test_from_one_crop_to_a_table(nuclei64: Path, tmp_path: Path) -> None:
    def run(*more: str) -> str:
        call = [sys.executable, BENCHMARKS / "objects.py", "--data", nuclei64, "--out", tmp_path / "study", *TINY]
        given = os.environ | {"LABELFACTORY_CACHE": str(tmp_path / "cache")}
        done = subprocess.run([*call, "--only", ",".join(CELLS), *more], capture_output=True, text=True, env=given)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "0 of 3 cells are done" in run("--minutes", "0")
    assert not (tmp_path / "study" / "seconds.json").exists()
    told = run()
    assert "1 crops, 24 views" in told
    assert "| centernet | factory, 1 labels |" in told
    assert "| hourglass | factory, 1 labels |" in told
    for name in CELLS:
        record = json.loads((tmp_path / "study" / f"{name}.json").read_text())
        assert record["crops"] == 12
        value, low, high = record["scores"]["pck" if name.startswith("hourglass") else "ap50"]
        assert 0 <= low <= value <= high <= 1
    before = (tmp_path / "study" / "seconds.json").read_bytes()
    assert "3 of 3 cells are done" in run()
    assert (tmp_path / "study" / "seconds.json").read_bytes() == before
    assert run("--list").count("done  ") == 3
