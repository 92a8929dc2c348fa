"""What somebody asks for when a pixel forest is to be trained."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from labelfactory.errors import InputError
from labelfactory.factory.fields import SEED
from labelfactory.factory.parameter import Parameter, check_fields


@dataclass(frozen=True)
class ForestOrder:
    """A forest of the labelled pixels of pictures."""

    pairs: Annotated[
        tuple[str, ...], Parameter("Store, or folder or zip with images/ and masks/; repeatable.", place=True)
    ]
    out: Annotated[Path, Parameter("File to write (.safetensors).", place=True, writes="file")]
    trees: Annotated[int, Parameter("Trees.", at_least=1, at_most=1000)] = 100
    leaf: Annotated[int, Parameter("Pixels that a leaf has at least.", at_least=1)] = 5
    pixels: Annotated[int, Parameter("Pixels to learn from at most, of all pictures alike.", at_least=1)] = 100_000
    position: Annotated[
        bool, Parameter("Position of the pixel as a further feature, for pictures that are all framed alike.")
    ] = False
    seed: Annotated[int, SEED] = 0

    def __post_init__(self) -> None:
        check_fields(self)
        if not self.pairs:
            raise InputError("nothing to learn from: name a store, or a folder with images/ and masks/")


def train_forest(order: ForestOrder, progress: bool = True) -> str:
    """Trains the forest and writes its file, which is used like a segmenter's; a line for a person."""
    from labelfactory.factory.pairs.opening import check_same_classes, open_source
    from labelfactory.factory.pairs.pairs import JoinedPairs
    from labelfactory.factory.segmenters.catalogue import save_segmenter
    from labelfactory.factory.segmenters.pixel_forest import NAME, grow

    sources = [open_source(uri) for uri in order.pairs]
    classes = sources[0][1]
    for uri, (_, others) in zip(order.pairs, sources, strict=True):
        check_same_classes(order.pairs[0], classes, uri, others)
    pairs = JoinedPairs([part for part, _ in sources])
    wishes = {name: getattr(order, name) for name in ("trees", "leaf", "pixels", "position", "seed")}
    forest = grow(pairs, len(classes), **wishes, progress=progress)
    options = {"trees": order.trees, "nodes": forest.threshold.shape[1], "depth": forest.depth}
    recipe = {"name": NAME, "image_channels": forest.in_channels, "classes": [asdict(c) for c in classes]}
    recipe |= {"options": options | {"position": order.position}, "training": wishes}
    recipe["trained_on"] = [{"source": u, "pairs": len(p)} for u, (p, _) in zip(order.pairs, sources, strict=True)]
    save_segmenter(forest, order.out, recipe)
    return f"{order.out}: {order.trees} trees of up to {options['nodes']} nodes, from {len(pairs)} pictures"
