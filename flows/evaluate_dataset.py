"""The flow ``evaluate-dataset``: train a segmenter on a dataset, test it on what people labelled, report."""

import math
from typing import Any

from prefect import flow, get_run_logger, runtime, task
from prefect.artifacts import create_image_artifact, create_link_artifact, create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from pydantic import BaseModel

from labelfactory.factory.evaluation.names import named
from labelfactory.factory.evaluation.report import markdown
from labelfactory.factory.segmenters.catalogue import load_segmenter
from labelfactory.factory.segmenters.order import EvaluationOrder, SegmenterOrder, TrialOrder
from labelfactory.factory.segmenters.predicting import evaluate_segmenter
from labelfactory.factory.segmenters.rounds import train_rounds
from labelfactory.factory.segmenters.tasks import TASKS
from labelfactory.flows.faults import explained
from labelfactory.flows.parameters import flow_takes, permitted_order
from labelfactory.flows.reports import as_data_url


class EvaluationResult(BaseModel):
    """What a run found. ``score``: 0 to 1, that of the task, whose name is ``figure``; ``miou``: over the classes that
    occur, where each pixel has a class."""

    segmenter: str
    report: str
    figure: str
    score: float
    miou: float | None = None


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
    for name in [name for name in ("confusion", "worst") if name in written]:
        create_image_artifact(image_url=as_data_url(written[name]), key=f"evaluation-{name}")
    link = written["html"].absolute().as_uri()
    create_link_artifact(link=link, link_text="report.html", key="evaluation-report")
    overall = {name: score.value for name, score in result.overall.items()}
    figure = TASKS[load_segmenter(order.segmenter)[0].task].figure
    return EvaluationResult(
        segmenter=str(order.segmenter),
        report=str(written["html"]),
        figure=figure,
        score=overall.get(figure, math.nan),
        miou=overall.get("miou"),
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
    what = named(result.figure)
    get_run_logger().info("%s %.1f %% on %s: %s", what, 100 * result.score, order.labels.images, result.report)
    return result
