"""The flow ``train-restorer``: a network that completes incomplete masks."""

from typing import Any

from prefect import flow, get_run_logger, runtime
from prefect.artifacts import create_image_artifact, create_markdown_artifact
from pydantic import BaseModel

from labelfactory.factory.translation.order import RestorerOrder
from labelfactory.flows.faults import explained
from labelfactory.flows.parameters import flow_takes, permitted_order
from labelfactory.flows.reports import as_data_url


class RestorerResult(BaseModel):
    """What a run made."""

    restorer: str


@flow(name="train-restorer", flow_run_name="{degrade} on {pairs}", timeout_seconds=60 * 24 * 3600, persist_result=False)
@flow_takes(RestorerOrder)
def train_restorer(**given: Any) -> RestorerResult:
    """Train a restorer of masks; cancelling and running again goes on from the last snapshot."""
    from labelfactory.factory.translation.restorer_learning import train_restorer as train
    from labelfactory.factory.translation.running import run_folder

    order = permitted_order(RestorerOrder, given)
    with explained("train-restorer", runtime.flow_run.parameters or {}):
        made = train(order, get_run_logger().info, progress=False)
    sheets = sorted((run_folder(made) / "samples").glob("*.png"))
    if sheets:
        create_image_artifact(image_url=as_data_url(sheets[-1]), key="restored", description=f"Masks by `{made}`")
    create_markdown_artifact(key="restorer", markdown=f"`{made}`")
    return RestorerResult(restorer=str(made))
