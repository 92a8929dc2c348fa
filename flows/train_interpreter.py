"""The flow ``train-interpreter``: from a label set to an interpreter file."""

from typing import Any

from prefect import flow, get_run_logger, runtime
from prefect.artifacts import create_markdown_artifact
from pydantic import BaseModel

from labelfactory.factory.heads.making import make_interpreter
from labelfactory.factory.heads.order import InterpreterOrder
from labelfactory.flows.faults import explained
from labelfactory.flows.parameters import flow_takes, permitted_order


class InterpreterResult(BaseModel):
    """What a run made. ``held_out_accuracy``: of pixels, mean over the members, 0 to 1; None for values."""

    interpreter: str
    sha256: str
    members: int
    held_out_accuracy: float | None


@flow(
    name="train-interpreter",
    flow_run_name="{members} members from {labels}",
    timeout_seconds=24 * 3600,
    persist_result=False,
)
@flow_takes(InterpreterOrder)
def train_interpreter(**given: Any) -> InterpreterResult:
    """Train the ensemble that reads labels from feature maps; a run again writes the same file."""
    order = permitted_order(InterpreterOrder, given)
    with explained("train-interpreter", runtime.flow_run.parameters or {}):
        trained = make_interpreter(order, progress=False)
    for line in trained.lines:
        get_run_logger().info(line)
    create_markdown_artifact(key="interpreter", markdown="\n\n".join([*trained.lines, f"sha256 `{trained.sha256}`"]))
    return InterpreterResult(
        interpreter=str(order.out),
        sha256=trained.sha256,
        members=order.ensemble.members,
        held_out_accuracy=trained.held_out_accuracy,
    )
