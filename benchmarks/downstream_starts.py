"""What the networks of the downstream study begin with: random weights, or those of another training."""

from typing import TYPE_CHECKING, Any

from downstream_cells import Cell
from downstream_parts import network
from downstream_parts import recipe as study_recipe

from labelfactory.factory.segmenters.segmenter import Segmenter

if TYPE_CHECKING:
    from downstream import Study


def begin(study: "Study", cell: Cell) -> Segmenter:
    """The untrained network of a cell."""
    return network(study.options, study.val_set.images.shape[-1], study.domain.classes, cell.seed)


def recipe(study: "Study", cell: Cell) -> dict[str, Any]:
    """What the file of a cell's network says of it."""
    return study_recipe(study.options, study.val_set.images.shape[-1], study.domain.classes)
