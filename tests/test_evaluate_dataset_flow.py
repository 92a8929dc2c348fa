"""The flow evaluate-dataset on a real (temporary) Prefect server: artifacts, and a wrong call."""

from pathlib import Path

import pytest
from disc_world import write_folder
from prefect.client.orchestration import get_client

from labelfactory.errors import InputError
from labelfactory.factory.segmenters.catalogue import load_segmenter
from labelfactory.flows.evaluate_dataset import evaluate_dataset


def test_it_trains_tests_and_leaves_artifacts(prefect_server: None, tmp_path: Path) -> None:
    train, real = (write_folder(tmp_path / name, n=8, seed=i) for i, name in enumerate(("train", "real")))
    with pytest.raises(InputError, match="neither a folder nor a zip"):
        evaluate_dataset(pairs=[str(train)], images=str(tmp_path / "no"), out=str(tmp_path / "x"), steps=1)
    result = evaluate_dataset(
        pairs=[str(train)],
        images=str(real),
        out=str(tmp_path / "out"),
        steps=30,
        batch_size=8,
        unlabelled=[str(train / "images")],
        device="cpu",
    )
    assert 0 < result.miou <= 1
    assert Path(result.report).is_file()
    assert load_segmenter(Path(result.segmenter))[1]["unlabelled"]["sources"] == [str(train / "images")]
    with get_client(sync_client=True) as client:
        found = {artifact.key: artifact for artifact in client.read_artifacts()}
    assert {"evaluation", "evaluation-confusion", "evaluation-worst", "evaluation-report"} <= found.keys()
    assert "| mIoU |" in str(found["evaluation"].data)
