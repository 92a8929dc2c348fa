"""The flow ``train-generator``: a generator of a folder or zip of images."""

from typing import Any

from prefect import flow, get_run_logger, runtime
from prefect.artifacts import create_image_artifact, create_markdown_artifact
from pydantic import BaseModel

from labelfactory.factory.training.generator_order import GeneratorOrder
from labelfactory.flows.faults import explained
from labelfactory.flows.parameters import flow_takes, permitted_order
from labelfactory.flows.reports import as_data_url


class GeneratorResult(BaseModel):
    """What a run made."""

    generator: str


@flow(name="train-generator", flow_run_name="{preset} on {data}", timeout_seconds=60 * 24 * 3600, persist_result=False)
@flow_takes(GeneratorOrder)
def train_generator(**given: Any) -> GeneratorResult:
    """Train a generator; cancelling and running again goes on from the last snapshot."""
    from labelfactory.factory.training.run import train_generator as train

    order = permitted_order(GeneratorOrder, given)
    with explained("train-generator", runtime.flow_run.parameters or {}):
        checkpoint = train(order, get_run_logger().info, progress=False)
    sheets = sorted((order.out / "samples").glob("*.png"))
    if sheets:
        create_image_artifact(image_url=as_data_url(sheets[-1]), key="samples", description=f"Samples of `{order.out}`")
    create_markdown_artifact(key="generator", markdown=f"`{checkpoint}`")
    return GeneratorResult(generator=str(checkpoint))
