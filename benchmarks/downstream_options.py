"""The options of the downstream study."""

import argparse
import json

from downstream_cells import LABELS, PAIRS, SEEDS

from labelfactory.factory.pairs.augmentation import PRESETS


def numbers(text: str) -> tuple[int, ...]:
    """Numbers with commas between them."""
    return tuple(int(x) for x in text.split(","))


def study_options(about: str | None) -> argparse.ArgumentParser:
    """The command line that all studies of segmenters share."""
    plain = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=about, formatter_class=plain, conflict_handler="resolve")
    parser.add_argument("--data", required=True, help="folder with train_images.zip and its three siblings")
    parser.add_argument("--generator", default="builtin:nuclei64")
    parser.add_argument("--out", default="study", help="folder for everything that is made")
    parser.add_argument("--minutes", type=float, default=1e9, help="minutes after which no cell is started")
    parser.add_argument("--only", default="", help="cells whose name contains this, or one of these (comma-separated)")
    parser.add_argument("--main", action="store_true", help="leave out the variants")
    parser.add_argument("--list", action="store_true", help="show the cells and which are done")
    parser.add_argument("--labels", type=numbers, default=LABELS)
    parser.add_argument("--seeds", type=numbers, default=SEEDS)
    parser.add_argument("--pairs", type=int, default=PAIRS, help="pairs in a store; smaller variants scale with it")
    parser.add_argument("--architecture", default="unet-small")
    parser.add_argument("--network-options", type=json.loads, default={"width": 16}, help="JSON")
    parser.add_argument("--augmentation", default="in-place", choices=list(PRESETS))
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--average", type=float, default=0.995)
    parser.add_argument("--inversion-steps", type=int, default=100)
    parser.add_argument("--amplify", default="dihedral", choices=["none", "mirror", "dihedral"], help="views inverted")
    parser.add_argument(
        "--all-lights",
        type=int,
        default=8,
        help="crops up to which each view has all three lights",
    )
    parser.add_argument("--encoder-steps", type=int, default=400)
    parser.add_argument("--precision", default="float16", help="of the labels' products")
    parser.add_argument("--min-fidelity", type=float, default=0.8)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=0, help="0: all")
    parser.add_argument("--choosing", action="store_true", help="judge on a fifth of train: val is not looked at")
    parser.add_argument("--imagenet", help="file of MobileNetV2's weights, for networks that start from ImageNet")
    parser.add_argument("--kimg", type=float, default=128.0, help="thousand pictures of the masked pretraining")
    return parser
