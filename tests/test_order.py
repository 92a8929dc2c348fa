"""An order of pairs refuses what cannot be and what does not belong together."""

import pytest

from labelfactory.errors import InputError
from labelfactory.factory.production.order import MAX_SEED, Order

GIVEN = {"generator": "g.pkl", "out": "o.zarr", "count": 5, "labels": "labels"}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"count": 0}, "count is 0: expected 1 or more"),
        ({"seed": -1}, f"seed is -1: expected 0 to {MAX_SEED}"),
        ({"seed": MAX_SEED + 1}, "seed is 18446744073709551616"),
        ({"truncation": 2.5}, "truncation is 2.5: expected 0 to 2"),
        ({"truncation": float("nan")}, "truncation is nan"),
        ({"shard_size": 0}, "shard_size is 0: expected 1 or more"),
        ({"device": "gpu"}, "device is gpu: expected auto, cpu, cuda or cuda:N"),
        ({"out": ""}, "out is empty: expected a path or URL"),
        ({"keypoints": ""}, "keypoints is empty"),
        ({"labels": None}, "either an interpreter file or a label set"),
        ({"interpreter": "i.safetensors"}, "either an interpreter file or a label set"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(change, told):
    with pytest.raises(InputError, match=told):
        Order(**(GIVEN | change))


def test_a_bundled_generator_brings_its_labels():
    assert Order("builtin:nuclei64", "o.zarr", 5).labels == "builtin:nuclei64"
    assert Order("builtin:nuclei64", "o.zarr", 5, interpreter="i.safetensors").labels is None
