"""The flow ``export-dataset``: a store in the format that another tool expects."""

from pathlib import Path
from typing import Annotated, Literal

from prefect import flow, get_run_logger, runtime
from prefect.artifacts import create_markdown_artifact
from pydantic import BaseModel, Field

from labelfactory.errors import InputError
from labelfactory.flows.access import permitted_path
from labelfactory.flows.faults import explained
from labelfactory.storage.exports import FORMATS, MASKS, export


class ExportResult(BaseModel):
    """What a run wrote."""

    out: str
    samples: int
    files: int
    bytes: int


@flow(name="export-dataset", flow_run_name="{store} as {format}", timeout_seconds=7 * 24 * 3600, persist_result=False)
def export_dataset(
    store: Annotated[str, Field(min_length=1)],
    format: Literal[*FORMATS],  # type: ignore[valid-type]  # the table says which there are
    out: Annotated[str, Field(min_length=1)],
    all: bool = False,
    max_uncertainty: Annotated[float | None, Field(ge=0)] = None,
    masks: Literal[*MASKS] | None = None,  # type: ignore[valid-type]
    check: bool = True,
) -> ExportResult:
    """Write a dataset in another format; a run of the same parameters resumes.

    Args:
        store: Path or URL of a finished store.
        format: What to write.
        out: Folder to write; an interrupted export there is resumed.
        all: Also what the uncertainty filter would drop.
        max_uncertainty: Only samples of at most this score, in nats.
        masks: Style of mask pictures; grey by default.
        check: Re-read everything that was written.
    """
    from labelfactory.storage import open_dataset

    source, folder = permitted_path("store", store), permitted_path("out", out)
    if "://" in folder:
        raise InputError(f"out is {folder}: exports go into a folder; copy it from there")
    with explained("export-dataset", runtime.flow_run.parameters or {}):
        dataset = open_dataset(source, keep=not all, max_uncertainty=max_uncertainty)
        report = export(dataset, format, Path(folder), masks=masks, check=check)
    held = f"`{folder}`: {report.samples} samples in {report.files} files, {report.bytes / 1e6:.1f} MB"
    text = "; ".join([held, *report.remarks])
    get_run_logger().info(text)
    create_markdown_artifact(key="export", markdown=text)
    return ExportResult(out=folder, samples=report.samples, files=report.files, bytes=report.bytes)
