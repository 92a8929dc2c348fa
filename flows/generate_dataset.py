"""The flow ``generate-dataset``: load, ensure an interpreter, make shards, finalize, report."""

import time
from typing import Any

from prefect import flow, get_run_logger, runtime, task
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.cache_policies import NO_CACHE
from prefect.futures import as_completed
from pydantic import BaseModel

from labelfactory.factory.production.job import Job
from labelfactory.factory.production.line import not_finished, open_output, wanted_shards
from labelfactory.factory.production.models import forget_models
from labelfactory.factory.production.order import Order
from labelfactory.factory.production.prepare import prepare
from labelfactory.flows.access import permitted
from labelfactory.flows.faults import explained, retries, worth_retrying
from labelfactory.flows.groups import forget_stop, make_group, stop_groups
from labelfactory.flows.parameters import flow_takes, permitted_order
from labelfactory.flows.partitions import Partitions, shards_of
from labelfactory.flows.reports import publish_report
from labelfactory.flows.runners import Execution, make_runner
from labelfactory.progress import Progress
from labelfactory.storage import finalize


class DatasetResult(BaseModel):
    """What a run made. ``kept`` is None where a backfill has left shards missing."""

    store: str
    count: int
    kept: int | None
    shards_made: int
    contact_sheet: str | None


@task(
    name="load and ensure interpreter",
    cache_policy=NO_CACHE,
    persist_result=False,
    retry_condition_fn=worth_retrying,
    timeout_seconds=24 * 3600,
    **retries(),
)
def prepare_job(order: Order) -> Job:
    bars = runtime.deployment.id is None  # none in a worker's log
    return prepare(order, progress=bars, tell=get_run_logger().info)


def _shards_name() -> str:
    shards = runtime.task_run.parameters["shards"]
    return f"shard {shards[0]}" if len(shards) == 1 else f"shards {shards[0]}-{shards[-1]}"


@task(
    name="make shards",
    task_run_name=_shards_name,
    cache_policy=NO_CACHE,
    persist_result=False,
    retry_condition_fn=worth_retrying,
    **retries(),
)
def shard_task(job: Job, shards: list[int], timeout_s: float) -> int:
    """Makes a few shards, wherever it runs; the number of pairs in them. Trying again skips what is committed."""
    return make_group(job, shards, timeout_s, str(runtime.flow_run.id))


@task(name="finalize", cache_policy=NO_CACHE, persist_result=False, retry_condition_fn=worth_retrying, **retries())
def finalize_task(job: Job) -> int:
    """The number of samples that are kept."""
    with open_output(job) as store:
        return finalize(store).kept


def make_missing(job: Job, missing: list[int], execution: Execution) -> None:
    """Hands the shards to the task runner; on the first failure or a cancellation nothing more is started."""
    run = str(runtime.flow_run.id)
    progress: Any = create_progress_artifact(0.0, key="progress", description=f"Shards of `{job.out}`")
    shards = shard_task.with_options(**retries(execution.retries))
    ranges = [job.spec.shard_range(shard) for shard in missing]
    pairs = sum(end - start for start, end in ranges)
    try:
        # A worker's log has no use for a bar: there the artifact tells.
        with (
            make_runner(execution) as runner,
            Progress(total=pairs, desc="pairs", unit="pair", disable=runtime.deployment.id is not None) as bar,
        ):
            futures = {
                runner.submit(
                    shards, parameters={"job": job, "shards": group, "timeout_s": execution.shard_timeout_s}
                ): len(group)
                for group in execution.groups(missing)
            }
            done, told = 0, time.monotonic()
            try:
                for future in as_completed(list(futures)):
                    bar.update(future.result())  # raises what the shard raised
                    done += futures[future]
                    if time.monotonic() - told > 2 or done == len(missing):
                        update_progress_artifact(progress, 100 * done / len(missing))
                        told = time.monotonic()
            except BaseException:
                stop_groups(run)
                _cancel(runner, list(futures))
                raise
    finally:
        forget_stop(run)


def _cancel(runner: Any, futures: list[Any]) -> None:
    """Takes back what has not started."""
    if hasattr(runner, "cancel_all"):  # threads and processes
        runner.cancel_all()
        return
    for future in futures:
        wrapped: Any = getattr(future, "wrapped_future", None)
        if wrapped is not None and hasattr(wrapped, "cancel"):  # Dask
            wrapped.cancel()
        elif wrapped is not None:  # Ray
            import ray

            ray.cancel(wrapped, force=True)


@flow(
    name="generate-dataset",
    flow_run_name="{count} pairs, seed {seed}, into {out}",
    timeout_seconds=7 * 24 * 3600,
    persist_result=False,
)
@flow_takes(Order, generator="builtin:nuclei64", out="nuclei64.zarr", count=1000)
def generate_dataset(*, execution: Execution = Execution(), **order: Any) -> DatasetResult:  # noqa: B008 (copied)
    """Make image-label pairs with uncertainty; a run of the same parameters resumes.

    Args:
        execution: How the run is spread out; changes no byte of what is made.
    """
    wanted = permitted_order(Order, order)
    permitted("address", execution.address)
    logger = get_run_logger()
    with explained("generate-dataset", runtime.flow_run.parameters or {}):
        job = prepare_job(wanted)
        if execution.runner != "threads":  # the models are for the workers' memory, not for this process
            forget_models()
        with open_output(job) as store:
            missing = wanted_shards(store, wanted.shards, logger.info) if wanted.shards else store.missing()
        logger.info("%s: %d of %d shards to make", job.out, len(missing), store.num_shards)
        with Partitions(job.out, shards_of(store)):
            if missing:
                make_missing(job, missing, execution)
            rest = store.missing() if wanted.shards else []
            kept = None if rest else finalize_task(job)
        if kept is None:
            logger.info(not_finished(store, rest))
        sheet = None if kept is None else publish_report(job, made=len(missing), kept=kept)
    return DatasetResult(store=job.out, count=job.spec.count, kept=kept, shards_made=len(missing), contact_sheet=sheet)
