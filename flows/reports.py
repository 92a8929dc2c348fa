"""What a run leaves in Prefect's UI: a summary with the store's place, its shards, and pictures to look at."""

import base64
import io
import tempfile
from pathlib import Path
from typing import Any

import fsspec
from PIL import Image
from prefect.artifacts import (
    create_image_artifact,
    create_link_artifact,
    create_markdown_artifact,
    create_table_artifact,
)

from labelfactory.factory.production.job import Job
from labelfactory.ownership import claimed
from labelfactory.storage import contact_sheet, open_store

ROWS = 200  # of the table of shards; the rest is summed up
PICTURE_PIXELS, PICTURE_QUALITY = 1200, 70  # of the sheet inside the UI: some 100 kB


def sheet_place(out: str) -> str:
    """Beside the store: ``nuclei_contact_sheet.png`` for ``nuclei.zarr``."""
    return f"{out.rstrip('/').removesuffix('.zarr')}_contact_sheet.png"


def publish_report(job: Job, made: int, kept: int) -> str:
    """Writes the contact sheet beside the store and all artifacts; returns the sheet's place."""
    store = open_store(job.out, job.storage_options or None)
    rows, size = list[dict[str, Any]](), 0
    for record in store.records():
        if record is not None:
            bytes_there = sum(info.size for info in record.files.values())
            size += bytes_there
            if len(rows) < ROWS:
                samples = f"{record.start} to {record.stop - 1}"
                rows.append({"shard": record.shard, "samples": samples, "MB": round(bytes_there / 1e6, 2)})
    place = sheet_place(job.out)
    if "://" not in place:  # where somebody has a picture of that name, ours gets another
        place = str(claimed(Path(place).parent, Path(place).name))
    with tempfile.TemporaryDirectory() as folder:
        picture = contact_sheet(job.out, Path(folder) / "sheet.png", storage_options=job.storage_options or None)
        with fsspec.open(place, "wb", **job.storage_options) as file:
            file.write(picture.read_bytes())
        create_image_artifact(image_url=as_data_url(picture), key="contact-sheet", description=f"Pairs of `{job.out}`")
    create_table_artifact(
        rows,
        key="shards",
        description=f"{store.num_shards} shards, {size / 1e6:.1f} MB"
        + (f"; the first {ROWS} of them" if store.num_shards > ROWS else ""),
    )
    link = job.out if "://" in job.out else Path(job.out).absolute().as_uri()
    create_link_artifact(link=link, link_text=job.out, key="store", description="The store that this run made")
    create_markdown_artifact(
        key="dataset",
        markdown=f"**{job.spec.count:,} pairs** in `{job.out}`, {kept:,} of them to keep; {made} shards made by this "
        f"run.\n\nLook at them: `{place}`\n\nRead them:\n\n```python\nimport labelfactory\n"
        f"dataset = labelfactory.open_dataset({job.out!r})\n```\n",
    )
    return place


def as_data_url(picture: Path) -> str:
    """Inside the artifact itself: a browser loads neither file:// nor a private bucket."""
    with Image.open(picture) as image:
        small = image.convert("RGB")
    small.thumbnail((PICTURE_PIXELS, 4 * PICTURE_PIXELS))
    buffer = io.BytesIO()
    small.save(buffer, format="JPEG", quality=PICTURE_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
