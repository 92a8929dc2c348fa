"""A run's curves: logs that are cut, repeated and joined; the picture shows what was measured."""

import json
from pathlib import Path

import numpy as np
import pytest
from command_line import Factory
from PIL import Image

from labelfactory.errors import InputError
from labelfactory.factory.training.curves import draw_curves, join_logs, read_log

PLAIN = """(11179, 64, 64, 1) uint8
resumed 30880
35.6 kimg  39.3 images/s  d 1.114 sign 0.250 g 0.754
40.0 kimg  38.0 images/s  d 1.107 sign 0.250 r1 0.177 g 1.453
"""


def write_log(path: Path, begin: int, end: int) -> Path:
    rows = [{"kimg": k, "step": 9, "d": 1.3, "g": 0.8 + k / 1000, "r_t": 0.4, "p": 0.1} for k in range(begin, end)]
    path.write_text("".join(json.dumps(row | {"images_per_second": 40.0}) + "\n" for row in rows))
    return path


def quality(fid: float) -> dict[str, object]:
    row = {"fid": fid, "fid_train": fid / 2, "precision": 0.7, "recall": 0.5}
    return {"psi": 1.0, "generated": row, "real": row | {"fid": 4.0}}


def opened(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.copy()


def test_a_plain_log_reads_as_a_log_of_lines_of_json(tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_text(PLAIN)
    rows = read_log(tmp_path / "log.txt")
    assert rows[0] == {"kimg": 35.6, "images_per_second": 39.3, "d": 1.114, "r_t": 0.25, "g": 0.754}
    assert (rows[1]["r1"], len(rows)) == (0.177, 2)


def test_what_a_run_did_again_after_a_kill_counts_and_a_cut_line_does_not(tmp_path: Path) -> None:
    log = write_log(tmp_path / "log.jsonl", 0, 10)
    again = '{"kimg": 7, "d": 2.5}\n{"kimg": 8, "d": 2.5}\n{"kimg": 9, "d": 2.'
    log.write_text(log.read_text() + again)
    rows = read_log(log)
    assert [row["kimg"] for row in rows] == list(range(9))
    assert [row["d"] for row in rows[6:]] == [1.3, 2.5, 2.5]


def test_logs_of_one_run_are_joined_where_the_later_one_begins(tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_text(PLAIN)
    rows, seams = join_logs([tmp_path / "log.txt", write_log(tmp_path / "log.jsonl", 38, 45)])
    assert [row["kimg"] for row in rows] == [35.6, 38, 39, 40, 41, 42, 43, 44]
    assert seams == [38]


def test_the_picture_grows_with_what_there_is_to_see(tmp_path: Path) -> None:
    picture, log = tmp_path / "curves.png", write_log(tmp_path / "log.jsonl", 0, 200)
    draw_curves(picture, [log], tmp_path / "quality.json")  # no report yet
    before = opened(picture).size
    entries = [
        {"generator": "b", "images_seen": 200_000, "quality": [quality(5.0)]},
        {"generator": "a", "images_seen": 100_000, "quality": [quality(9.0)]},
        {"generator": "builtin:x", "images_seen": None, "quality": [quality(7.0)]},
    ]
    (tmp_path / "quality.json").write_text(json.dumps({"generators": entries}))
    draw_curves(picture, [log], tmp_path / "quality.json")
    after = opened(picture).size
    assert (after[0], after[1] > before[1]) == (before[0], True)
    assert np.asarray(opened(picture).convert("L")).std() > 5
    draw_curves(tmp_path / "quality.png", report=tmp_path / "quality.json")


def test_the_command_draws_logs_as_one(factory: Factory, tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_text(PLAIN)
    logs = ["--log", tmp_path / "log.txt", "--log", write_log(tmp_path / "log.jsonl", 38, 45)]
    done = factory("training-curves", *logs, "--out", tmp_path / "both.png")
    assert done.code == 0, done.err
    assert opened(tmp_path / "both.png").width > 1000
    refused = factory("training-curves", *logs, "--out", tmp_path / "x.png", "--quality", tmp_path / "missing.json")
    assert (refused.code, "missing.json: no such file" in refused.err) == (2, True)


def test_what_is_no_log_or_report_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"missing\.jsonl: cannot be read"):
        read_log(tmp_path / "missing.jsonl")
    (tmp_path / "x.txt").write_text("5 kimg\n[1]\n{}\n3.0 kimg 2.0 images/s d\n")
    with pytest.raises(InputError, match=r"x\.txt: holds no line"):
        read_log(tmp_path / "x.txt")
    (tmp_path / "quality.json").write_text("[]")
    with pytest.raises(InputError, match="is no report of evaluate-generator"):
        draw_curves(tmp_path / "curves.png", report=tmp_path / "quality.json")
    with pytest.raises(InputError, match="nothing to draw"):
        draw_curves(tmp_path / "curves.png")
