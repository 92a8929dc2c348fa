"""The flow ``generate-dataset``: load, ensure an interpreter, make shards, finalize, report."""

from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_image_artifact, create_markdown_artifact
from pydantic import BaseModel, Field

from factory.production import Job, Order, make_shard, open_output, prepare
from storage import contact_sheet


class DatasetParameters(BaseModel):
    """What to make and where."""

    generator: str = Field("builtin:nuclei64", description="builtin:NAME, or a path or URL of a checkpoint")
    out: str = Field(description="Path or URL of the store; an unfinished one is continued")
    count: int = Field(1000, gt=0, description="Number of pairs")
    interpreter: str | None = Field(None, description="File of a trained interpreter; or else give labels")
    labels: str | None = Field(None, description="Label set to train an interpreter from, or builtin:NAME")
    seed: int = Field(0, ge=0, description="Seed of the dataset: another seed, other pairs")
    truncation: float | None = Field(None, ge=0, le=2, description="Psi; by default the label set's, else 0.7")
    shard_size: int | None = Field(None, gt=0, description="Samples in a shard; by default about 50 MB")
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N")
    storage_options: dict[str, Any] = Field(default_factory=dict, description="Passed to fsspec")

    def order(self) -> Order:
        return Order(**self.model_dump())


class DatasetResult(BaseModel):
    """What a run made."""

    store: str
    count: int
    kept: int
    shards_made: int
    contact_sheet: str | None


@task(name="load and ensure interpreter")
def prepare_job(parameters: DatasetParameters) -> Job:
    return prepare(parameters.order())


@task(name="make shard", task_run_name="shard-{shard}")
def shard_task(job: Job, shard: int) -> int:
    record = make_shard(job, shard)
    return record.stop - record.start


@task(name="finalize")
def finalize_task(job: Job) -> tuple[int, int]:
    with open_output(job) as store:
        manifest = store.finalize()
    return manifest.count, manifest.kept


@task(name="report")
def report_task(job: Job) -> str | None:
    """A contact sheet beside a local store, and as an artifact in the UI."""
    if "://" in job.out:
        return None
    store = Path(job.out).absolute()
    sheet = contact_sheet(job.out, store.with_name(f"{store.stem}_contact_sheet.png"))
    create_image_artifact(image_url=sheet.as_uri(), key="contact-sheet", description=f"Pairs of {job.out}")
    return str(sheet)


@flow(name="generate-dataset", flow_run_name="{parameters.count}-pairs-seed-{parameters.seed}")
def generate_dataset(parameters: DatasetParameters) -> DatasetResult:
    """Make image-label pairs with uncertainty; running it again resumes."""
    logger = get_run_logger()
    job = prepare_job(parameters)
    logger.info("interpreter %s: %s", "reused" if job.interpreter_reused else "trained", job.interpreter)
    with open_output(job) as store:
        missing = store.missing()
    for shard in missing:
        shard_task(job, shard)
    count, kept = finalize_task(job)
    sheet = report_task(job)
    create_markdown_artifact(
        key="dataset", markdown=f"`{job.out}`: {count} pairs, {kept} of them to keep, {len(missing)} shards made now"
    )
    return DatasetResult(store=job.out, count=count, kept=kept, shards_made=len(missing), contact_sheet=sheet)
