"""Where shards are made: threads of this process, processes of this machine, or a Dask or Ray cluster."""

import logging
import os
from typing import Any, Literal

from prefect.task_runners import ProcessPoolTaskRunner, TaskRunner, ThreadPoolTaskRunner
from pydantic import BaseModel, Field

from labelfactory.errors import InputError
from labelfactory.factory.production.fleet import TASKS, shard_groups

# Ray replaces 127.0.0.1 by the machine's address and listens everywhere, except where it is told that its machine can
# be no part of a cluster: its default on macOS and Windows.
RAY_ON_LOOPBACK = ("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")


class Execution(BaseModel):
    """How a run is spread out. None of this changes a byte of what is made."""

    runner: Literal["threads", "processes", "dask", "ray"] = Field("threads", description="Engine that makes shards")
    workers: int | None = Field(
        None, ge=1, le=1024, description="Threads, processes or local cluster workers; by default what fills the cores"
    )
    address: str | None = Field(
        None,
        description="Scheduler of a running cluster, as tcp://host:8786 (Dask) or ray://host:10001; else a local one",
    )
    shards_per_task: int | None = Field(
        None, ge=1, description=f"Shards of a task; by default as few as {TASKS} tasks allow"
    )
    retries: int = Field(3, ge=0, le=20, description="Further tries of a task after a fault of disk or network")
    shard_timeout_s: float = Field(3600, gt=0, description="A shard that takes longer fails and is tried again")

    def groups(self, shards: list[int]) -> list[list[int]]:
        """Shards of one task each."""
        return shard_groups(shards, self.shards_per_task)


def default_workers() -> int:
    """As many as fill the cores, each with as many threads as torch was given."""
    import torch

    if torch.cuda.is_available():
        return 2  # one computes while the other compresses and writes
    return max(1, len(os.sched_getaffinity(0)) // torch.get_num_threads())


def make_runner(execution: Execution) -> TaskRunner[Any]:
    """The Prefect task runner, not yet started. InputError where its package is not installed."""
    workers, address = execution.workers or default_workers(), execution.address
    if address is not None and execution.runner not in ("dask", "ray"):
        raise InputError(
            f"address {address}: threads and processes have none; choose runner dask or ray, or leave it out"
        )
    if execution.runner == "threads":
        return ThreadPoolTaskRunner(max_workers=workers)
    if execution.runner == "processes":
        return ProcessPoolTaskRunner(max_workers=workers)
    try:
        if execution.runner == "dask":
            from prefect_dask import DaskTaskRunner

            if address:
                return DaskTaskRunner(address=address)
            logging.getLogger("distributed").setLevel(logging.WARNING)  # workers come and go: no news of a run
            local = {"n_workers": workers, "threads_per_worker": 1, "host": "127.0.0.1", "dashboard_address": None}
            # Prefect's plugins cannot start where it is imported beside a running event loop, as in Dask's workers.
            return DaskTaskRunner(cluster_kwargs={**local, "env": {"PREFECT_PLUGINS_ENABLED": "false"}})
        if not address:
            os.environ.setdefault(*RAY_ON_LOOPBACK)  # before Ray is imported
        from prefect_ray import RayTaskRunner

        if address:
            return RayTaskRunner(address=address)
        return RayTaskRunner(init_kwargs={"num_cpus": workers, "include_dashboard": False, "configure_logging": False})
    except ImportError as error:
        raise InputError(
            f"runner {execution.runner} is not installed ({error.name}): pip install 'labelfactory[{execution.runner}]'"
        ) from None
