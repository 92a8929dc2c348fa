"""The flow ``restyle-dataset``: labelled pairs in another style, their labels kept and mended."""

from typing import Any

from prefect import flow, get_run_logger, runtime
from prefect.artifacts import create_markdown_artifact

from labelfactory.factory.production.line import open_output
from labelfactory.factory.restyle.order import RestyleOrder
from labelfactory.flows.faults import explained
from labelfactory.flows.generate_dataset import DatasetResult, finalize_task, make_missing
from labelfactory.flows.parameters import flow_takes, permitted_order
from labelfactory.flows.reports import publish_report
from labelfactory.flows.runners import Execution

ONE_AT_A_TIME = Execution(runner="threads", workers=1)  # networks of a restyler fill the cores as it is


@flow(
    name="restyle-dataset",
    flow_run_name="{pairs} by {method}, into {out}",
    timeout_seconds=7 * 24 * 3600,
    persist_result=False,
)
@flow_takes(RestyleOrder)
def restyle_dataset(**given: Any) -> DatasetResult:
    """Give labelled pairs the style of other pictures; a run of the same parameters resumes."""
    from labelfactory.factory.restyle.preparing import prepare_restyling
    from labelfactory.factory.restyle.report import drift_report

    order = permitted_order(RestyleOrder, given)
    logger = get_run_logger()
    with explained("restyle-dataset", runtime.flow_run.parameters or {}):
        job = prepare_restyling(order, logger.info, progress=False)
        with open_output(job) as store:
            missing = store.missing()
        logger.info("%s: %d of %d shards to make", job.out, len(missing), store.num_shards)
        if missing:
            make_missing(job, missing, ONE_AT_A_TIME)
        kept = finalize_task(job)
        sheet = publish_report(job, made=len(missing), kept=kept)
        create_markdown_artifact(key="drift", markdown=drift_report(job.out).markdown(), description="Drift of labels")
    return DatasetResult(store=job.out, count=job.spec.count, kept=kept, shards_made=len(missing), contact_sheet=sheet)
