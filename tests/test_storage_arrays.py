"""Arrays as data: what the first releases wrote as fields comes back, what is new stands in a list of its own."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from interpreter_world import calm
from storage_data import VALUES, fill, make_arrays, make_spec

from labelfactory.errors import InputError
from labelfactory.storage import ArraySpec, DatasetSpec, ValueInfo, create_store, open_dataset, verify
from labelfactory.storage.arrays import LABEL_ROLES, ROLES
from labelfactory.storage.checks import range_problem
from labelfactory.storage.label_arrays import NONE, arrays_in, fields_of, object_arrays, point_arrays, value_arrays

BOXES = ArraySpec(
    "boxes", "float32", ("sample", "box", "edge"), (2, 4), "NaN", False, head="boxes", model="ab" * 32,
    channels=(ValueInfo("nearest"), ValueInfo("largest", "px")),
)  # fmt: skip
ZERO_TO_NINE = (ValueInfo("tint", "", 0.0, 9.0),)
TINT = ArraySpec("tint", "uint8", ("sample", "y", "x"), (8, 6), 0, True, "values", "tint", channels=ZERO_TO_NINE)

hashes = st.sampled_from(["", "ab" * 32, "cd" * 32])
infos = st.lists(st.sampled_from(VALUES), unique=True, max_size=2)
names = st.lists(st.sampled_from(["tip", "tail", "Ä ö"]), unique=True, max_size=3)


@calm
@given(names, st.booleans(), hashes, st.booleans(), infos, hashes, st.booleans(), hashes, st.booleans())
def test_fields_of_the_first_releases_come_back(
    points: list[str], uncertain: bool, found_by: str, value: bool, channels: list[ValueInfo], made_by: str,
    instance: bool, told_by: str, more: bool,
) -> None:  # fmt: skip
    fields = {"keypoints": points, "value": value or bool(channels), "instance": instance}
    if points:
        fields |= {"regressor_sha256": found_by, "keypoint_uncertainty": uncertain}
    if fields["value"]:
        fields |= {"values": [info.to_json() for info in channels], "value_sha256": made_by}
    if instance:
        fields["centre_sha256"] = told_by
    if more:
        fields["arrays"] = [BOXES.to_json(), TINT.to_json()]
    arrays = arrays_in(fields, 8, 6)
    assert fields_of(arrays, 8, 6) == {name: value for name, value in fields.items() if value or name in NONE}
    assert set(arrays_in(fields_of(arrays[::-1], 8, 6), 8, 6)) == set(arrays)
    spec = make_spec(label_arrays=arrays)
    assert DatasetSpec.from_json(spec.to_json()) == spec
    assert spec == replace(spec, label_arrays=arrays[::-1])  # however they were put together


def test_another_kinds_array_of_an_old_name_is_no_field() -> None:
    stranger = replace(BOXES, name="keypoints")
    fields = fields_of([stranger, *object_arrays(8, 6)], 8, 6)
    assert (fields["keypoints"], fields["instance"]) == ([], True)
    assert fields["arrays"] == [stranger.to_json()]
    assert set(arrays_in(fields, 8, 6)) == {stranger, *object_arrays(8, 6)}


def test_a_store_of_new_kinds_is_written_verified_grown_and_read(tmp_path) -> None:
    spec = make_spec(count=6, label_arrays=(BOXES, TINT))
    assert "arrays" not in make_spec().to_json()
    assert spec.heads == {"boxes": "ab" * 32, "tint": ""}
    fill(create_store(str(tmp_path / "set"), spec))
    fill(create_store(str(tmp_path / "set"), replace(spec, count=10)))
    assert verify(str(tmp_path / "set")).ok
    dataset = open_dataset(str(tmp_path / "set"), keep=False)
    assert dataset.spec.label_arrays == (BOXES, TINT)
    truth = np.concatenate([make_arrays(replace(spec, count=10), k)["boxes"] for k in range(3)])
    np.testing.assert_array_equal(dataset.read("boxes", range(10)), truth)
    with pytest.raises(InputError, match="holds another dataset: arrays is "):
        create_store(str(tmp_path / "set"), replace(spec, label_arrays=(BOXES,)))


@pytest.mark.parametrize(
    ("array", "shape"), [(TINT, (2, 8, 6)), (replace(TINT, dims=("sample",), sample_shape=()), (2,))]
)
def test_a_range_holds_without_a_dimension_of_channels(array: ArraySpec, shape: tuple[int, ...]) -> None:
    values = np.full(shape, 9, np.uint8)
    assert range_problem(array, values) is None
    values.flat[-1] = 10
    assert range_problem(array, values) == "is 10 in tint, which reaches from 0 to 9"


def test_numbers_without_a_range_may_be_anything() -> None:
    channels = (ValueInfo("free"), ValueInfo("bound", "m", 0.0, 1.0))
    array, _ = value_arrays(1, 1, channels)
    assert range_problem(array, np.array([[[[np.nan, 0.5]]]], np.float16)) is None
    assert "is nan in bound" in (range_problem(array, np.array([[[[0, np.nan]]]], np.float16)) or "")
    points, _ = point_arrays(("tip", "tail"))
    assert range_problem(points, np.full((1, 2, 3), np.nan, np.float32)) is None


@pytest.mark.parametrize(
    "change",
    [
        {"name": "../mask"}, {"name": ""}, {"dtype": "int32"}, {"dims": ("sample", "box")},
        {"dims": ("x", "box", "edge")},
        {"dims": ("sample", "box", "box")}, {"sample_shape": (2, 0)}, {"role": "picture"}, {"model": "no hash"},
        {"channels": (ValueInfo("a"),)}, {"channels": (ValueInfo("a"), ValueInfo("a"))},
    ],
)  # fmt: skip
def test_arrays_that_cannot_be_are_refused(change: dict) -> None:
    with pytest.raises(InputError, match="array "):
        replace(BOXES, **change)
    document = make_spec(label_arrays=(BOXES,)).to_json()
    raw = {k: [c.to_json() for c in v] if k == "channels" else v for k, v in change.items()}
    document["arrays"][0] |= raw
    with pytest.raises(InputError):
        DatasetSpec.from_json(document)


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        ((replace(BOXES, name="mask"),), "different names"),
        ((replace(BOXES, role="seed"),), "role of boxes is seed"),
        ((replace(TINT, sample_shape=(8, 7)),), "size of tint"),
        ((BOXES, replace(BOXES, name="more", model="")), "models of boxes"),
    ],
)
def test_arrays_that_do_not_fit_a_dataset_are_refused(arrays: tuple[ArraySpec, ...], told: str) -> None:
    with pytest.raises(InputError, match=told):
        make_spec(label_arrays=arrays)


def test_damaged_lists_of_arrays_are_one_line() -> None:
    for damaged in ("text", [1], [{}], [{**BOXES.to_json(), "more": 1}], 5, [{**BOXES.to_json(), "dims": 3}]):
        with pytest.raises(InputError) as caught:
            DatasetSpec.from_json(make_spec().to_json() | {"arrays": damaged})
        assert "\n" not in str(caught.value)


def test_label_arrays_do_not_change_how_many_samples_a_shard_has() -> None:
    """A store with values that was ordered without a shard size has to take the same order with a larger count."""
    plain, valued = make_spec(shard_size=None), make_spec(shard_size=None, values=VALUES, instance=True)
    assert plain.shard_size == valued.shard_size == 2**18  # image: 144 bytes a sample


def test_roles_are_told() -> None:
    assert set(LABEL_ROLES) < set(ROLES)
    spec = make_spec(conditions=(0, 1), walk=5, walk_degrees=90.0, shard_size=5)
    assert {array.role for array in spec.arrays()} == set(ROLES) - set(LABEL_ROLES)
