"""``factory export``: a dataset in the format that another tool expects."""

import typer

from labelfactory.factory.production.store_order import ExportOrder
from labelfactory.flows.parameters import command_takes


@command_takes(ExportOrder, "shards that are written stay; the same command goes on with the others")
def export(order: ExportOrder) -> None:
    """Write a dataset as PNG pairs, COCO, YOLO, WebDataset or Hugging Face parquet; running it again resumes."""
    from labelfactory.factory.production.exporting import export_dataset

    report = export_dataset(order)
    for remark in report.remarks:
        typer.echo(remark)
    told = "every sample read back equal" if order.check else "not read back"
    typer.echo(f"{order.out}: {report.samples} samples in {report.files} files, {report.bytes / 1e6:.1f} MB, {told}")
