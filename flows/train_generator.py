"""The flow ``train-generator``: StyleGAN2-ADA on a folder or zip of images."""

from pathlib import Path
from typing import Annotated, Literal

from prefect import flow, runtime
from prefect.artifacts import create_image_artifact, create_markdown_artifact
from pydantic import BaseModel, Field

from labelfactory.flows.access import permitted, permitted_path
from labelfactory.flows.faults import explained
from labelfactory.flows.reports import as_data_url


class GeneratorResult(BaseModel):
    """What a run made."""

    generator: str


@flow(name="train-generator", flow_run_name="{preset} on {data}", timeout_seconds=60 * 24 * 3600, persist_result=False)
def train_generator(
    data: Annotated[str, Field(min_length=1)],
    out: Annotated[str, Field(min_length=1)],
    preset: str = "auto",
    kimg: Annotated[float | None, Field(gt=0)] = None,
    resume: str | None = None,
    resolution: Annotated[int | None, Field(gt=0)] = None,
    amplify: Literal["none", "mirror", "dihedral"] | None = None,
    augment: str | None = None,
    seed: Annotated[int | None, Field(ge=0)] = None,
    device: str = "auto",
) -> GeneratorResult:
    """Train a generator; cancelling and running again goes on from the last snapshot.

    Args:
        data: Folder, zip or URL with images.
        out: Folder of the run; a run that was stopped there goes on.
        preset: auto, stylegan2, paper256 ..., tiny (64 px on a CPU).
        kimg: Thousand images to train for; by default preset's.
        resume: Snapshot or checkpoint to start from.
        resolution: Pixels a side; by default as images allow.
        amplify: What may be flipped or turned.
        augment: Adaptive augmentation: none, blit, ..., bgc.
        seed: Of weights and of everything random.
        device: auto, cpu or cuda.
    """
    from labelfactory.flows.commands.train_generator import train_generator as train

    folder = Path(permitted_path("out", out))
    source, start = permitted_path("data", data), permitted("resume", resume)
    with explained("train-generator", runtime.flow_run.parameters or {}):
        train(
            data=source,
            out=folder,
            preset=preset,
            kimg=kimg,
            resume=start,
            resolution=resolution,
            amplify=amplify,
            augment=augment,
            seed=seed,
            device=device,
        )
    sheets = sorted((folder / "samples").glob("*.png"))
    if sheets:
        create_image_artifact(image_url=as_data_url(sheets[-1]), key="samples", description=f"Samples of `{folder}`")
    checkpoint = str(folder / "generator.safetensors")
    create_markdown_artifact(key="generator", markdown=f"`{checkpoint}`")
    return GeneratorResult(generator=checkpoint)
