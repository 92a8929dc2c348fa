"""The flow ``evaluate-dataset``: train a segmenter on a dataset, test it on what people labelled, report."""

from typing import Any

from prefect import flow, get_run_logger, runtime, task
from prefect.artifacts import create_image_artifact, create_link_artifact, create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from pydantic import BaseModel

from labelfactory.factory.evaluation.report import markdown
from labelfactory.factory.segmenters.order import EvaluationOrder, SegmenterOrder, TrialOrder
from labelfactory.factory.segmenters.predicting import evaluate_segmenter
from labelfactory.factory.segmenters.rounds import train_rounds
from labelfactory.flows.faults import explained
from labelfactory.flows.parameters import flow_takes, permitted_order
from labelfactory.flows.reports import as_data_url


class EvaluationResult(BaseModel):
    """What a run found. ``miou``: 0 to 1, over the classes that occur."""

    segmenter: str
    report: str
    miou: float


@task(name="train segmenter", cache_policy=NO_CACHE)
def train_task(order: SegmenterOrder) -> None:
    """Goes on from its checkpoint where an earlier run was cut off."""
    train_rounds(order, progress=False)


@task(name="evaluate segmenter", cache_policy=NO_CACHE)
def evaluate_task(order: EvaluationOrder) -> EvaluationResult:
    """Report beside the segmenter, and its essence as artifacts."""
    result, written = evaluate_segmenter(order, progress=False)
    create_markdown_artifact(
        key="evaluation", markdown=markdown(result), description=f"On `{order.labels.images}`, labelled by people"
    )
    for name in ("confusion", "worst"):
        create_image_artifact(image_url=as_data_url(written[name]), key=f"evaluation-{name}")
    link = written["html"].absolute().as_uri()
    create_link_artifact(link=link, link_text="report.html", key="evaluation-report")
    return EvaluationResult(
        segmenter=str(order.segmenter), report=str(written["html"]), miou=result.overall["miou"].value
    )


@flow(
    name="evaluate-dataset",
    flow_run_name="{architecture} on {pairs}",
    timeout_seconds=24 * 3600,
    persist_result=False,
)
@flow_takes(TrialOrder)
def evaluate_dataset(**given: Any) -> EvaluationResult:
    """Train on pairs, test on what people labelled, report; a run of the same parameters resumes."""
    order = permitted_order(TrialOrder, given)
    with explained("evaluate-dataset", runtime.flow_run.parameters or {}):
        order.out.mkdir(parents=True, exist_ok=True)
        train_task(order.training)
        result = evaluate_task(order.evaluation)
    get_run_logger().info("mIoU %.1f %% on %s: %s", 100 * result.miou, order.labels.images, result.report)
    return result
