"""The flow ``verify-dataset``: is every byte of a store as it was committed?"""

from typing import Any

from prefect import flow, get_run_logger
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from pydantic import BaseModel

from labelfactory.errors import WorkError
from labelfactory.factory.production.store_order import VerifyOrder
from labelfactory.factory.production.verification import verify_store
from labelfactory.flows.parameters import flow_takes, permitted_order

ROWS = 200


class VerifyResult(BaseModel):
    """What was looked at."""

    store: str
    count: int
    shards: int
    files: int
    bytes_read: int


@flow(name="verify-dataset", flow_run_name="{store}", timeout_seconds=7 * 24 * 3600, persist_result=False)
@flow_takes(VerifyOrder)
def verify_dataset(**given: Any) -> VerifyResult:
    """Compare every byte with what was committed; the run fails where one differs, and lists where."""
    order = permitted_order(VerifyOrder, given)
    logger = get_run_logger()
    report = verify_store(order, logger.info, progress=False)
    *findings, summary = report.lines()
    logger.info(summary)
    create_markdown_artifact(key="verification", markdown=summary)
    if not report.ok:
        rows = [{"shard": f.shard, "file": f.path, "problem": f.problem} for f in report.findings[:ROWS]]
        create_table_artifact(rows, key="damaged-files", description=f"{len(findings)} files of `{order.store}`")
        raise WorkError(f"{summary}; mend it: factory verify --repair {order.store}")
    return VerifyResult(
        store=order.store, count=report.count, shards=report.shards, files=report.files, bytes_read=report.bytes_read
    )
