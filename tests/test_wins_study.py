"""The table of what wins the rest: each arm against base on the same val pictures."""

import json
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import wins


def write(out: Path, name: str, confusion: np.ndarray, miou: float, training: int = 0, **told: object) -> None:
    file = wins._file(out, 4, 0, name, training)
    file.parent.mkdir(parents=True, exist_ok=True)
    groups = [f"picture {i // 2}" for i in range(len(confusion))]
    np.savez(file.with_suffix(".npz"), confusion=confusion, groups=np.array(groups))
    file.write_text(json.dumps({"miou": miou, "iou": [], "preparation": {}, "training": {}} | told))


def test_a_line_an_arm_with_the_paired_difference(tmp_path: Path) -> None:
    right, wrong = np.array([[90, 10], [10, 90]]), np.array([[80, 20], [20, 80]])
    write(tmp_path, "base", np.stack([wrong] * 6), 0.667)
    write(tmp_path, "base", np.stack([wrong] * 6), 0.669, training=1)
    write(tmp_path, "sensor", np.stack([right] * 6), 0.818, left_out=0.0127, about="x")
    lines = wins.table(tmp_path, 4, 0, 2)
    assert lines[2].split(" | ") == ["| base", "66.7, 66.9", "66.8", "", " |"]
    assert lines[3].split(" | ") == ["| sensor", "81.8", "81.8", "+15.0 (+15.2 to +15.2)", "left_out 0.0127, about x |"]
    assert len(lines) == 4
    assert wins._file(tmp_path, 4, 0, "siblings, all agree", 0).name == "n04_s0_siblings_all-agree_0.json"
