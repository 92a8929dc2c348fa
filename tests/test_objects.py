"""Every network of objects or key points of the table passes the contract, for each of its tasks."""

from typing import Any

import pytest
from object_contract import ObjectContract
from tiny_objects import TINY

from labelfactory.factory.segmenters.architectures import SEGMENTERS

OWN = [
    (name, task)
    for name, architecture in SEGMENTERS.items()
    for task in architecture.tasks
    if task != "semantic" and name in TINY
]


class TestOwnNetworks(ObjectContract):
    @pytest.fixture(params=OWN, ids=lambda case: "-".join(case))
    def case(self, request: pytest.FixtureRequest) -> tuple[str, str]:
        return request.param

    @pytest.fixture
    def tiny(self, case: tuple[str, str]) -> dict[str, Any]:
        return TINY[case[0]]
