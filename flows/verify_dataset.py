"""The flow ``verify-dataset``: is every byte of a store as it was committed?"""

from collections.abc import Sequence
from typing import Any

from prefect import flow, get_run_logger
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from pydantic import BaseModel

from labelfactory.errors import WorkError
from labelfactory.factory.production.store_order import VerifyOrder
from labelfactory.factory.production.verification import verify_store
from labelfactory.flows.parameters import flow_takes, permitted_order
from labelfactory.flows.partitions import Partitions, Row
from labelfactory.storage import Finding

ROWS = 200


class VerifyResult(BaseModel):
    """What was looked at."""

    store: str
    count: int
    shards: int
    files: int
    bytes_read: int


class Looked:
    """How far a verification is, as rows of shards."""

    def __init__(self, store: str) -> None:
        self._store = store
        self._seen: tuple[int, int, Sequence[Finding]] = (0, 0, ())

    def see(self, done: int, total: int, findings: Sequence[Finding]) -> None:
        self._seen = done, total, findings

    def rows(self) -> tuple[str, list[Row]]:
        done, total, findings = self._seen
        damaged = {f.shard: f"{f.path}: {f.problem}" for f in list(findings) if f.shard is not None}
        rows, at = list[Row](), 0
        for shard, why in sorted(damaged.items()):
            if at < shard:
                rows.append((at, shard - 1, "as committed", ""))
            rows.append((shard, shard, "damaged", why))
            at = shard + 1
        if at < done:
            rows.append((at, done - 1, "as committed", ""))
        if done < total:
            rows.append((done, total - 1, "not yet looked at", ""))
        return f"{self._store}: {done} of {total} shards looked at, {len(damaged)} damaged", rows


@flow(name="verify-dataset", flow_run_name="{store}", timeout_seconds=7 * 24 * 3600, persist_result=False)
@flow_takes(VerifyOrder)
def verify_dataset(**given: Any) -> VerifyResult:
    """Compare every byte with what was committed; the run fails where one differs, and lists where."""
    order = permitted_order(VerifyOrder, given)
    logger = get_run_logger()
    looked = Looked(order.store)
    with Partitions(order.store, looked.rows):
        report = verify_store(order, logger.info, progress=False, watch=looked.see)
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
