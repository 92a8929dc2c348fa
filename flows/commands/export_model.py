"""``factory export-model``: a trained network as ONNX."""

import typer

from labelfactory.factory.segmenters.order import ModelExportOrder
from labelfactory.flows.interruption import NOTHING
from labelfactory.flows.parameters import command_takes


@command_takes(ModelExportOrder, NOTHING)
def export_model(order: ModelExportOrder) -> None:
    """Write a trained network as ONNX, checked by onnxruntime: equal answers."""
    from labelfactory.factory.segmenters.exporting import export_model as write

    typer.echo(f"{order.out}: images to {', '.join(write(order))}; onnxruntime answers as the network does")
