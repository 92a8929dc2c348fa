"""The methods of the league: what makes a mask of a picture from N labels and all pictures without labels.

A variant of the factory is one line more: ``ours``, and the cell that it is (a field of ``Cell`` says what differs).
"""

from collections.abc import Callable
from typing import NamedTuple

from downstream import Study, confusions, run_cell, write_result
from downstream_cells import TEACHERS, Cell
from downstream_direct import label_directly
from downstream_parts import Clock

from labelfactory.factory.segmenters.pixel_forest import grow

FACTORY = "factory, self-trained"  # the line that baselines are compared with; chosen before leaves' val was seen
PIXELS = 65_536  # that a forest learns from, at most: all of 16 crops of 64 px


class Method(NamedTuple):
    """A line of the table.

    cell     of N labels and a seed
    command  how the product offers it
    run      makes the cell
    ours     whether it is the factory's
    """

    cell: Callable[[int, int], Cell]
    command: str
    run: Callable[[Study, Cell], None] = run_cell
    ours: bool = False


def forest(study: Study, cell: Cell) -> None:
    """A pixel forest on ilastik's filters and the pixel's position."""
    clock, crops = Clock(), study.chosen(cell.labels, cell.seed)
    model = grow(crops, len(study.domain.classes), pixels=PIXELS, position=True, seed=cell.seed, progress=False)
    result = {"training": clock.lap()}
    write_result(study, cell, confusions(study, model), result, clock)


def _cell(method: str, **changed: object) -> Callable[[int, int], Cell]:
    return lambda labels, seed: Cell(method, labels, seed, **changed)  # type: ignore[arg-type]


METHODS = {
    "labels alone": Method(_cell("real"), "train-segmenter"),
    "mean teacher": Method(_cell("mean-teacher", consistency=5.0), "train-segmenter --unlabelled"),
    "pretrained on the pictures": Method(_cell("real", start="pretrained"), "pretrain-segmenter, --from"),
    "ImageNet's MobileNetV2": Method(_cell("real", start="imagenet"), "train-segmenter --backbone-weights"),
    "pixel forest": Method(_cell("forest"), "train-forest --position", forest),
    "interpreter, by inversion": Method(_cell("direct"), "predict --interpreter", label_directly),
    "interpreter, discriminator's features": Method(
        _cell("direct", features="discriminator"), "convert --features, predict --interpreter", label_directly
    ),
    "factory": Method(_cell("factory"), "generate, train-segmenter", ours=True),
    "factory, discriminator's features": Method(
        _cell("factory", features="discriminator"), "convert --features, generate, train-segmenter", ours=True
    ),
    FACTORY: Method(
        _cell("self-trained", consistency=5.0, teachers=TEACHERS),
        "train-segmenter --rounds 2 --teachers 3 --unlabelled --self-training",
        ours=True,
    ),
}
UPPER = Method(lambda labels, seed: Cell("upper", 0, seed), "train-segmenter")
