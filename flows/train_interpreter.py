"""The flow ``train-interpreter``: from a label set to an interpreter file."""

from pathlib import Path
from typing import Annotated

from prefect import flow, get_run_logger, runtime
from prefect.artifacts import create_markdown_artifact
from pydantic import BaseModel, Field

from labelfactory.factory.families import open_generator
from labelfactory.factory.heads.classes import InterpreterSettings
from labelfactory.factory.heads.classes import train_interpreter as train
from labelfactory.factory.labels.feature_maps import load_labels
from labelfactory.flows.access import permitted_path
from labelfactory.flows.faults import explained


class InterpreterResult(BaseModel):
    """What a run made. ``held_out_accuracy``: of pixels, mean over the members, 0 to 1."""

    interpreter: str
    sha256: str
    members: int
    held_out_accuracy: float


@flow(
    name="train-interpreter",
    flow_run_name="{members} members from {labels}",
    timeout_seconds=24 * 3600,
    persist_result=False,
)
def train_interpreter(
    generator: str,
    labels: str,
    out: Annotated[str, Field(min_length=1)],
    members: Annotated[int, Field(ge=1, le=64)] = 10,
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0,
    device: str = "auto",
) -> InterpreterResult:
    """Train the ensemble that reads labels from feature maps; a run again writes the same file.

    Args:
        generator: builtin:NAME, or a path or URL of a checkpoint.
        labels: Folder of a label set, or builtin:NAME.
        out: File to write (.safetensors).
        members: Members of the ensemble.
        seed: Equal seeds give equal weights.
        device: auto, cpu, cuda or cuda:N.
    """
    where = permitted_path("out", out)
    source, label_source = permitted_path("generator", generator), permitted_path("labels", labels)
    with explained("train-interpreter", runtime.flow_run.parameters or {}):
        label_set = load_labels(label_source)
        settings = InterpreterSettings(members=members, seed=seed)
        interpreter = train(open_generator(source, device), label_set, settings, progress=False)
        Path(where).parent.mkdir(parents=True, exist_ok=True)
        sha256 = interpreter.save(where)
    accuracy = interpreter.report["held_out_accuracy"]
    mean = float(sum(accuracy) / len(accuracy))
    text = f"`{where}`: {members} members from {len(label_set.labelled)} images, held-out pixel accuracy {mean:.1%}"
    get_run_logger().info(text)
    create_markdown_artifact(key="interpreter", markdown=f"{text}\n\nsha256 `{sha256}`")
    return InterpreterResult(interpreter=where, sha256=sha256, members=members, held_out_accuracy=mean)
