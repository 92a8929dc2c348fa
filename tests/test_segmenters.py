"""Every segmenter of the table passes the contract's suite."""

from typing import Any

import pytest
from segmenter_contract import SegmenterContract
from tiny_segmenters import TINY

from labelfactory.factory.segmenters.architectures import SEGMENTERS, serving

# The transformers library warns about its own deprecations; they are not ours to fix.
pytestmark = pytest.mark.filterwarnings("ignore")

HEAVY = {
    "fcn8s": "134 million weights; its shapes are checked without them in test_catalogue.py",
    "fcn16s": "134 million weights; its shapes are checked without them in test_catalogue.py",
    "fcn32s": "134 million weights; its shapes are checked without them in test_catalogue.py",
    "deeplabv3plus-resnet101": "the class of deeplabv3plus-resnet50 with more layers",
}


class TestSegmenters(SegmenterContract):
    @pytest.fixture(params=serving("semantic"))
    def name(self, request: pytest.FixtureRequest) -> str:
        if "transformers_models" in SEGMENTERS[request.param].home or "mask_matching" in SEGMENTERS[request.param].home:
            pytest.importorskip("transformers", reason="the optional extra is not installed: labelfactory[hf]")
        return str(request.param)

    @pytest.fixture
    def tiny(self, name: str) -> dict[str, Any]:
        if name in HEAVY:
            pytest.skip(HEAVY[name])
        return TINY.get(name, {})
