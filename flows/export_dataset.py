"""The flow ``export-dataset``: a store in the format that another tool expects."""

from typing import Any

from prefect import flow, get_run_logger, runtime
from prefect.artifacts import create_markdown_artifact
from pydantic import BaseModel

from labelfactory.factory.production.exporting import export_dataset as export
from labelfactory.factory.production.store_order import ExportOrder
from labelfactory.flows.faults import explained
from labelfactory.flows.parameters import flow_takes, permitted_order


class ExportResult(BaseModel):
    """What a run wrote."""

    out: str
    samples: int
    files: int
    bytes: int


@flow(name="export-dataset", flow_run_name="{store} as {format}", timeout_seconds=7 * 24 * 3600, persist_result=False)
@flow_takes(ExportOrder)
def export_dataset(**given: Any) -> ExportResult:
    """Write a dataset in another format; a run of the same parameters resumes."""
    order = permitted_order(ExportOrder, given)
    with explained("export-dataset", runtime.flow_run.parameters or {}):
        report = export(order, progress=False)
    text = f"`{order.out}`: {report.samples} samples in {report.files} files, {report.bytes / 1e6:.1f} MB"
    for line in (*report.remarks, text):
        get_run_logger().info(line)
    create_markdown_artifact(key="export", markdown="\n\n".join([text, *report.remarks]))
    return ExportResult(out=str(order.out), samples=report.samples, files=report.files, bytes=report.bytes)
