"""The generate-dataset flow against a real (in-process) Prefect server."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.testing.utilities import prefect_test_harness

from factory.errors import InputError
from factory.production import Order, prepare, produce
from flows.generate_dataset import generate_dataset
from flows.runners import Execution


@pytest.fixture(scope="module")
def server() -> Iterator[None]:
    with prefect_test_harness(server_startup_timeout=120):
        yield


def test_flow(server, tiny_world, tmp_path):
    t = time.time()
    r = generate_dataset(
        generator=str(tiny_world.checkpoint),
        labels=str(tiny_world.labels),
        out=str(tmp_path / "a.zarr"),
        count=100,
        shard_size=16,
    )
    print(time.time() - t, r)
    t = time.time()
    r = generate_dataset(
        generator=str(tiny_world.checkpoint),
        labels=str(tiny_world.labels),
        out=str(tmp_path / "a.zarr"),
        count=200,
        shard_size=2,
    )
