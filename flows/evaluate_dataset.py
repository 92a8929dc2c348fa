"""The flow ``evaluate-dataset``: train a segmenter on a dataset, test it on what people labelled, report."""

from pathlib import Path
from typing import Annotated, Any

from prefect import flow, get_run_logger, runtime, task
from prefect.artifacts import create_image_artifact, create_link_artifact, create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from pydantic import BaseModel, Field

from labelfactory.factory.evaluation.report import markdown
from labelfactory.factory.segmenters.order import SegmenterOrder
from labelfactory.factory.segmenters.predicting import evaluate_segmenter
from labelfactory.factory.segmenters.rounds import train
from labelfactory.factory.segmenters.training import TrainingConfig
from labelfactory.flows.access import permitted, permitted_path
from labelfactory.flows.faults import explained
from labelfactory.flows.reports import as_data_url


class EvaluationResult(BaseModel):
    """What a run found. ``miou``: 0 to 1, over the classes that occur."""

    segmenter: str
    report: str
    miou: float


@task(name="train segmenter", cache_policy=NO_CACHE)
def train_task(order: SegmenterOrder) -> None:
    """Goes on from its checkpoint where an earlier run was cut off."""
    train(order, progress=False)


@task(name="evaluate segmenter", cache_policy=NO_CACHE)
def evaluate_task(**arguments: Any) -> EvaluationResult:
    """Report beside the segmenter, and its essence as artifacts."""
    result, written = evaluate_segmenter(**arguments, progress=False)
    create_markdown_artifact(
        key="evaluation", markdown=markdown(result), description=f"On `{arguments['images']}`, labelled by people"
    )
    for name in ("confusion", "worst"):
        create_image_artifact(image_url=as_data_url(written[name]), key=f"evaluation-{name}")
    link = written["html"].absolute().as_uri()
    create_link_artifact(link=link, link_text="report.html", key="evaluation-report")
    return EvaluationResult(
        segmenter=str(arguments["segmenter"]), report=str(written["html"]), miou=result.overall["miou"].value
    )


@flow(
    name="evaluate-dataset",
    flow_run_name="{architecture} on {pairs}",
    timeout_seconds=24 * 3600,
    persist_result=False,
)
def evaluate_dataset(
    pairs: Annotated[list[str], Field(min_length=1)],
    images: str,
    out: Annotated[str, Field(min_length=1)],
    masks: str | None = None,
    map_values: str | None = None,
    numbered: bool = False,
    architecture: str = "unet-small",
    steps: Annotated[int, Field(gt=0)] = 2000,
    batch_size: Annotated[int, Field(gt=0)] = 32,
    augmentation: str = "dihedral",
    unlabelled: list[str] | None = None,
    consistency: Annotated[float, Field(ge=0)] = 5.0,
    rounds: Annotated[int, Field(gt=0)] = 1,
    teachers: Annotated[int, Field(gt=0, le=8)] = 1,
    self_training: bool = False,
    balance: bool = False,
    uncertainty_temperature: Annotated[float | None, Field(gt=0)] = None,
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0,
    device: str = "auto",
) -> EvaluationResult:
    """Train on pairs, test on what people labelled, report; a run of the same parameters resumes.

    Args:
        pairs: Stores, or folders or zips with images/ and masks/.
        images: Folder or zip of human-labelled images to test on.
        out: Folder for the segmenter and its report.
        masks: Folder or zip of masks, where they are not beside images.
        map_values: Mask values to classes, like 0:0,1:1,2-254:2.
        numbered: Every mask value is one object.
        architecture: Segmenter to train.
        steps: Training steps.
        batch_size: Images in a step.
        augmentation: none, dihedral, in-place or strong.
        unlabelled: Folders or zips of pictures, or stores, learned from without labels (mean teacher).
        consistency: Weight of the unlabelled pictures.
        rounds: After each but the last the segmenter labels the stores anew.
        teachers: Segmenters that label the stores together in those rounds.
        self_training: They label the unlabelled pictures too, for the last round.
        balance: Repeat smaller sources until each is seen about equally.
        uncertainty_temperature: Weigh pixels by exp(-uncertainty / this), nats.
        seed: Of weights, order and augmentation.
        device: auto, cpu, cuda or cuda:N.
    """
    folder = Path(permitted_path("out", out))
    masks_at = permitted("masks", masks)
    order = SegmenterOrder(
        pairs=tuple(permitted_path("pairs", uri) for uri in pairs),
        out=folder / "segmenter.safetensors",
        architecture=architecture,
        balance=balance,
        temperature=uncertainty_temperature,
        augmentation=augmentation,
        unlabelled=tuple(permitted_path("unlabelled", uri) for uri in unlabelled or ()),
        consistency=consistency,
        rounds=rounds,
        teachers=teachers,
        self_training=self_training,
        training=TrainingConfig(steps=steps, batch_size=batch_size, seed=seed),
        device=device,
    )
    with explained("evaluate-dataset", runtime.flow_run.parameters or {}):
        folder.mkdir(parents=True, exist_ok=True)
        train_task(order)
        result = evaluate_task(
            segmenter=order.out,
            images=Path(permitted_path("images", images)),
            out=folder,
            masks=None if masks_at is None else Path(masks_at),
            mapping=map_values,
            numbered=numbered,
            device=device,
        )
    get_run_logger().info("mIoU %.1f %% on %s: %s", 100 * result.miou, images, result.report)
    return result
