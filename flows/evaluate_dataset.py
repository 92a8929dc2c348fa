"""The flow ``evaluate-dataset``: train a segmenter on a dataset, test it on what people labelled, report."""

from pathlib import Path

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_image_artifact, create_link_artifact, create_markdown_artifact
from pydantic import BaseModel, Field

from factory.downstream.jobs import SegmenterOrder, evaluate_segmenter, train
from factory.downstream.report import markdown
from factory.downstream.training import TrainingConfig


class EvaluationParameters(BaseModel):
    """What to train on, what to test on, and where the report goes."""

    pairs: list[str] = Field(description="Stores, or folders or zips with images/ and masks/", min_length=1)
    images: str = Field(description="Folder or zip of human-labelled images to test on")
    out: str = Field(description="Folder for the segmenter and its report")
    masks: str | None = Field(None, description="Folder or zip of masks, where they are not beside images")
    map_values: str | None = Field(None, description="Mask values to classes, like 0:0,1:1,2-254:2")
    numbered: bool = Field(False, description="Every mask value is one object")
    architecture: str = Field("unet-small", description="Segmenter to train")
    steps: int = Field(2000, gt=0, description="Training steps")
    batch_size: int = Field(32, gt=0, description="Images in a step")
    augmentation: str = Field("dihedral", description="none, dihedral or strong")
    balance: bool = Field(False, description="Repeat smaller sources until each is seen about equally")
    uncertainty_temperature: float | None = Field(None, gt=0, description="Weigh pixels by exp(-uncertainty / this)")
    seed: int = Field(0, ge=0, description="Of weights, order and augmentation")
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N")


class EvaluationResult(BaseModel):
    """What a run found."""

    segmenter: str
    report: str
    miou: float


@task(name="train segmenter")
def train_task(parameters: EvaluationParameters) -> str:
    path = Path(parameters.out) / "segmenter.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    order = SegmenterOrder(
        pairs=tuple(parameters.pairs),
        out=path,
        architecture=parameters.architecture,
        balance=parameters.balance,
        temperature=parameters.uncertainty_temperature,
        augmentation=parameters.augmentation,
        training=TrainingConfig(steps=parameters.steps, batch_size=parameters.batch_size, seed=parameters.seed),
        device=parameters.device,
    )
    train(order, progress=False)
    return str(path)


@task(name="evaluate segmenter")
def evaluate_task(parameters: EvaluationParameters, segmenter: str) -> EvaluationResult:
    result, written = evaluate_segmenter(
        Path(segmenter),
        Path(parameters.images),
        Path(parameters.out),
        None if parameters.masks is None else Path(parameters.masks),
        parameters.map_values,
        parameters.numbered,
        device=parameters.device,
        progress=False,
    )
    create_markdown_artifact(key="evaluation", markdown=markdown(result), description=f"On {parameters.images}")
    create_image_artifact(image_url=written["worst"].absolute().as_uri(), key="worst-images")
    create_image_artifact(image_url=written["confusion"].absolute().as_uri(), key="confusion-matrix")
    create_link_artifact(link=written["html"].absolute().as_uri(), key="report", link_text="report.html")
    return EvaluationResult(segmenter=segmenter, report=str(written["html"]), miou=result.overall["miou"].value)


@flow(name="evaluate-dataset", flow_run_name="{parameters.architecture}-seed-{parameters.seed}")
def evaluate_dataset(parameters: EvaluationParameters) -> EvaluationResult:
    """Train on pairs, test on what people labelled, report."""
    segmenter = train_task(parameters)
    result = evaluate_task(parameters, segmenter)
    get_run_logger().info("mIoU %.1f %% on %s: %s", 100 * result.miou, parameters.images, result.report)
    return result
