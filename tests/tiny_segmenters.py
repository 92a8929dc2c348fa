"""Options that make each segmenter small enough for a test."""

from typing import Any

STAGES = {"out_features": ["stage1", "stage2", "stage3", "stage4"], "depths": [1, 1, 1, 1]}
SWIN = {"embed_dim": 8, "num_heads": [1, 2, 2, 4], "window_size": 4, "image_size": 64}
TINY: dict[str, dict[str, Any]] = {
    "unet": {"width": 4, "depth": 2},
    "unet-small": {"width": 4, "depth": 2},
    "unet-valid": {"width": 4, "depth": 2},
    "segformer": {
        "overrides": {
            "hidden_sizes": [8, 16, 16, 32],
            "depths": [1, 1, 1, 1],
            "num_attention_heads": [1, 1, 2, 2],
            "decoder_hidden_size": 16,
        }
    },
    "upernet": {
        "overrides": {
            "backbone_config": {"model_type": "convnext", "hidden_sizes": [8, 16, 16, 32], **STAGES},
            "hidden_size": 16,
            "use_auxiliary_head": False,
        }
    },
    "mask2former": {
        "overrides": {
            "backbone_config": {"model_type": "swin", **SWIN, **STAGES},
            "feature_size": 32,
            "mask_feature_size": 32,
            "hidden_dim": 32,
            "num_attention_heads": 2,
            "encoder_layers": 1,
            "decoder_layers": 2,
            "encoder_feedforward_dim": 16,
            "dim_feedforward": 16,
            "num_queries": 6,
            "train_num_points": 128,
        }
    },
    "eomt": {
        "overrides": {
            "image_size": 64,
            "patch_size": 8,
            "hidden_size": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_blocks": 1,
            "num_upscale_blocks": 1,
            "num_queries": 6,
            "train_num_points": 128,
        }
    },
}
TINY["mask2former-tiny"], TINY["eomt-tiny"] = TINY["mask2former"], TINY["eomt"]
