"""The set-matching models and ViTPose of transformers pass the contract, tiny, for each of their tasks."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from object_contract import ObjectContract
from object_world import CLASSES, Crowds
from tiny_segmenters import TINY as MASKS

from labelfactory.factory.segmenters.architectures import SEGMENTERS
from labelfactory.factory.segmenters.catalogue import build_network
from labelfactory.factory.segmenters.inference import find
from labelfactory.factory.segmenters.tasks import Aim

pytest.importorskip("transformers", reason="the optional extra is not installed: pip install labelfactory[hf]")
# The library warns about its own deprecations; they are not ours to fix.
pytestmark = pytest.mark.filterwarnings("ignore")

STAGES = ["stage1", "stage2", "stage3", "stage4"]
RESNET = {"model_type": "resnet", "embedding_size": 8, "hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1]}
DETECTION = {"d_model": 16, "decoder_layers": 1, "num_queries": 6}
TINY: dict[str, dict[str, Any]] = {
    "mask2former": MASKS["mask2former"],
    "eomt": MASKS["eomt"],
    "detr": {
        "overrides": DETECTION
        | {
            "backbone_config": RESNET
            | {"layer_type": "basic", "out_features": ["stage1", "stage2", "stage3", "stage4"]},
            "use_timm_backbone": False,
            "use_pretrained_backbone": False,
            "d_model": 128,  # its mask head divides it by 16, into groups of 8
            "encoder_layers": 1,
            "encoder_attention_heads": 8,
            "decoder_attention_heads": 8,
            "encoder_ffn_dim": 16,
            "decoder_ffn_dim": 16,
        }
    },
    "rt-detr-v2": {
        "overrides": DETECTION
        | {
            "backbone_config": {
                "model_type": "rt_detr_resnet",
                "embedding_size": 8,
                "hidden_sizes": [8, 8, 16, 16],
                "depths": [1, 1, 1, 1],
                "layer_type": "basic",
                "out_features": ["stage2", "stage3", "stage4"],
            },
            "encoder_hidden_dim": 16,
            "encoder_in_channels": [8, 16, 16],
            "decoder_in_channels": [16, 16, 16],
            "encoder_ffn_dim": 16,
            "decoder_ffn_dim": 16,
            "encoder_attention_heads": 2,
            "decoder_attention_heads": 2,
            "num_denoising": 4,
            "decoder_layers": 2,
        }
    },
    "rf-detr": {
        "overrides": DETECTION
        | {
            "backbone_config": {
                "model_type": "rf_detr_dinov2",
                "hidden_size": 16,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "image_size": 64,
                "patch_size": 8,
                "num_windows": 1,
                "out_indices": [1, 2],
            },
            "decoder_layers": 2,
            "decoder_self_attention_heads": 2,
            "decoder_cross_attention_heads": 2,
            "decoder_ffn_dim": 16,
            "group_detr": 2,
        }
    },
    "vitpose": {
        "overrides": {
            "backbone_config": {
                "model_type": "vitpose_backbone",
                "image_size": [64, 64],
                "patch_size": [8, 8],
                "hidden_size": 16,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "out_indices": [2],
            }
        }
    },
}
CASES = [(name, task) for name in TINY for task in SEGMENTERS[name].tasks if task != "semantic"]


class TestTransformers(ObjectContract):
    @pytest.fixture(params=CASES, ids=lambda case: "-".join(case))
    def case(self, request: pytest.FixtureRequest) -> tuple[str, str]:
        return request.param

    @pytest.fixture
    def steps(self, name: str) -> int:
        """RT-DETR's varifocal loss rises first, as its weights grow with the overlap of the boxes."""
        return 40 if name == "rt-detr-v2" else 8

    @pytest.fixture
    def tiny(self, case: tuple[str, str]) -> dict[str, Any]:
        return TINY[case[0]]


def test_a_saved_folder_is_loaded_and_its_classes_made_anew(tmp_path: Path) -> None:
    torch.manual_seed(0)
    first = build_network("mask2former", 1, Aim("instance", CLASSES), **TINY["mask2former"])
    first.model.save_pretrained(tmp_path)
    again = build_network("mask2former", 1, Aim("panoptic", CLASSES[1:]), folder=tmp_path)
    theirs = first.model.state_dict()
    same = [k for k, v in again.model.state_dict().items() if v.shape == theirs[k].shape and torch.equal(v, theirs[k])]
    assert len(same) > 0.9 * len(theirs)
    images = np.stack([p.image for p in Crowds(1, 64).fetch([0])])
    assert find(again, images)[0].instances is not None
