"""Run-length codes, against the tools that define them."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from pycocotools import mask as coco_api

from labelfactory.errors import InputError
from labelfactory.interpreters.formats.rle import decode_brush, decode_coco, encode_brush

masks = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=12))


@given(masks)
def test_both_coco_codes_agree_with_the_coco_api(mask: np.ndarray) -> None:
    code = coco_api.encode(np.asfortranarray(mask.astype(np.uint8)))
    np.testing.assert_array_equal(decode_coco({**code, "counts": code["counts"].decode()}, "here"), mask)
    flat = mask.ravel(order="F").astype(int)
    edges = np.flatnonzero(np.diff(flat, prepend=0))
    counts = np.diff([0, *edges, flat.size]).tolist()
    np.testing.assert_array_equal(decode_coco({"size": list(mask.shape), "counts": counts}, "here"), mask)


def test_coco_code_with_long_runs() -> None:
    mask = np.zeros((700, 900), dtype=bool)
    mask[100:650, 50:800] = True
    code = coco_api.encode(np.asfortranarray(mask.astype(np.uint8)))
    np.testing.assert_array_equal(decode_coco({**code, "counts": code["counts"].decode()}, "here"), mask)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"size": [4, 4], "counts": [3, 4]}, "add up to 7 pixels"),
        ({"size": [4, 4], "counts": [20, -4]}, "expected 4 x 4 = 16"),
        ({"size": [4], "counts": [16]}, r"size \[4\]"),
        ({"size": [1 << 20, 1 << 20], "counts": []}, "is not"),
        ({"size": [4, 4], "counts": "0~"}, "have '~'"),
        ({"size": [4, 4], "counts": "P"}, "end in the middle"),
        ({"size": [4, 4], "counts": "P" * 99}, "have 'P'"),
        ({"size": [4, 4], "counts": 7}, "neither a list nor a text"),
        ({"size": [4, 4]}, "neither a list nor a text"),
    ],
)
def test_wrong_coco_codes_are_refused(data: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        decode_coco(data, "here")


@given(masks)
def test_brush_round_trip(mask: np.ndarray) -> None:
    np.testing.assert_array_equal(decode_brush(encode_brush(mask), *mask.shape, "here"), mask)


def test_brush_with_runs_longer_than_one_block() -> None:
    mask = np.zeros((300, 400), dtype=bool)
    mask[150:] = True
    np.testing.assert_array_equal(decode_brush(encode_brush(mask), 300, 400, "here"), mask)


def test_brush_as_label_studio_packs_it(label_files: Path) -> None:
    tasks = json.loads((label_files / "label_studio.json").read_text())
    results = [r for t in tasks for a in t["annotations"] for r in a["result"] if r["type"] == "brushlabels"]
    y, x = np.mgrid[:20, :24] + 0.5
    drawn = ((x - 10) / 6) ** 2 + ((y - 9) / 5) ** 2 <= 1
    got = decode_brush(results[0]["value"]["rle"], 20, 24, "here")
    assert got[drawn].all()
    assert 0 < (got & ~drawn).sum() < 25  # single pixels, sprinkled about


@given(st.lists(st.integers(0, 255), max_size=40))
def test_broken_brush_strokes_are_refused(data: list[int]) -> None:
    head = [0, 0, 0, 64, 0b00111_001, 0b0_0011_011, 0b1_1111_000]
    for candidate in (data, head + data):
        try:
            assert decode_brush(candidate, 4, 4, "here").shape == (4, 4)
        except InputError as error:
            assert str(error).startswith("here: rle")  # noqa: PT017
