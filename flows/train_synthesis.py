"""The flow ``train-synthesis``: a model that makes pictures of masks, or of pictures of another kind."""

from typing import Any

from prefect import flow, get_run_logger, runtime
from prefect.artifacts import create_image_artifact, create_markdown_artifact
from pydantic import BaseModel

from labelfactory.factory.translation.order import SynthesisOrder
from labelfactory.flows.faults import explained
from labelfactory.flows.parameters import flow_takes, permitted_order
from labelfactory.flows.reports import as_data_url


class SynthesisResult(BaseModel):
    """What a run made."""

    model: str


@flow(name="train-synthesis", flow_run_name="{method} on {pairs}", timeout_seconds=60 * 24 * 3600, persist_result=False)
@flow_takes(SynthesisOrder)
def train_synthesis(**given: Any) -> SynthesisResult:
    """Train a synthesis model; cancelling and running again goes on from the last snapshot."""
    from labelfactory.factory.translation.learning import train_synthesis as train
    from labelfactory.factory.translation.running import run_folder

    order = permitted_order(SynthesisOrder, given)
    with explained("train-synthesis", runtime.flow_run.parameters or {}):
        made = train(order, get_run_logger().info, progress=False)
    sheets = sorted((run_folder(made) / "samples").glob("*.png"))
    if sheets:
        create_image_artifact(image_url=as_data_url(sheets[-1]), key="synthesised", description=f"Samples of `{made}`")
    create_markdown_artifact(key="synthesis-model", markdown=f"`{made}`")
    return SynthesisResult(model=str(made))
