"""The flow ``verify-dataset``: is every byte of a store as it was committed?"""

from typing import Annotated

from prefect import flow, get_run_logger
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from pydantic import BaseModel, Field

from labelfactory.errors import WorkError
from labelfactory.flows.access import permitted_path

ROWS = 200


class VerifyResult(BaseModel):
    """What was looked at."""

    store: str
    count: int
    shards: int
    files: int
    bytes_read: int


@flow(name="verify-dataset", flow_run_name="{store}", timeout_seconds=7 * 24 * 3600, persist_result=False)
def verify_dataset(
    store: Annotated[str, Field(min_length=1)],
    workers: Annotated[int, Field(ge=1, le=64)] = 4,
) -> VerifyResult:
    """Compare every byte with what was committed; the run fails where one differs, and lists where.

    Args:
        store: Path or URL of a store.
        workers: Threads that read, hash and decode.
    """
    from labelfactory.storage import verify

    where = permitted_path("store", store)
    report = verify(where, workers=workers)
    *findings, summary = report.lines()
    get_run_logger().info(summary)
    create_markdown_artifact(key="verification", markdown=summary)
    if not report.ok:
        rows = [{"shard": f.shard, "file": f.path, "problem": f.problem} for f in report.findings[:ROWS]]
        create_table_artifact(rows, key="damaged-files", description=f"{len(findings)} files of `{where}`")
        raise WorkError(f"{summary}; mend it: factory verify --repair {where}")
    return VerifyResult(
        store=where, count=report.count, shards=report.shards, files=report.files, bytes_read=report.bytes_read
    )
