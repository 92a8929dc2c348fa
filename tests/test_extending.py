"""To add something is one new file and one line in a table: a toy of each kind goes through the whole factory.

The package is copied; each toy's file is put in and one line is added to one file that was there. Nothing else changes.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TOYS = ROOT / "tests" / "toys"

# kind: (the toy's file, where it goes, the file with the table, the line before, the line that is added)
ADDITIONS = {
    "generator family": (
        "toy_family.py", "factory/toy/family.py", "factory/families.py", "FAMILIES = {",
        '    "toy": "labelfactory.factory.toy.family:Toy",',
    ),
    "label kind": (
        "toy_head.py", "factory/heads/brightness.py", "factory/heads/table.py", "HEADS = {",
        '    "brightness": Entry("labelfactory.factory.heads.brightness:Brightness", "File of brightness."),',
    ),
    "export format": (
        "toy_export.py", "storage/exports/listing.py", "storage/exports/engine.py", "FORMATS = {",
        '    "listing": "labelfactory.storage.exports.listing:Listing",',
    ),
    "segmenter": (
        "toy_segmenter.py", "factory/segmenters/threshold.py", "factory/segmenters/architectures.py",
        "SEGMENTERS: dict[str, Architecture] = {",
        '    "threshold": Architecture(f"{_HERE}.threshold:Threshold", {}, False),',
    ),
    "storage backend": (
        "toy_backend.py", "storage/backends/toy.py", "storage/backends/opening.py", "BACKENDS = {",
        '    "toy": "labelfactory.storage.backends.toy:open_toy",',
    ),
    "proposer": (
        "toy_proposer.py", "factory/labels/halves.py", "factory/labels/proposer.py", "PROPOSERS = {",
        '    "halves": "labelfactory.factory.labels.halves:Halves",',
    ),
    "option": (
        None, None, "factory/segmenters/order.py", '    balance: Annotated[bool,',
        None,
    ),
}  # fmt: skip
OPTION = '    toy_wish: Annotated[int, Parameter("Wish of the toy.", at_least=1, at_most=9)] = 3\n'


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package with all toys; existing files differ by one line each."""
    copy = tmp_path_factory.mktemp("extended")
    for name in ("factory", "flows", "interpreters", "storage", "labelfactory"):
        shutil.copytree(ROOT / name, copy / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for toy, target, table, before, line in ADDITIONS.values():
        if toy is not None:
            (copy / target).parent.mkdir(exist_ok=True)
            shutil.copy(TOYS / toy, copy / target)
        text = (copy / table).read_text()
        assert text.count(before) == 1, table
        added = f"{before}\n{line}" if line is not None else f"{OPTION}{before}"
        (copy / table).write_text(text.replace(before, added))
    return copy


@pytest.fixture(scope="module")
def run(extended: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Runs ``python ...`` with the extended package, in a folder of its own."""
    folder = tmp_path_factory.mktemp("work")
    environment = {
        **os.environ,
        "PYTHONPATH": str(extended),
        "TOY_STORES": str(folder / "stores"),
        "LABELFACTORY_CACHE": str(folder / "cache"),
        "OMP_NUM_THREADS": "1",
    }

    def call(*words: str) -> str:
        command = [sys.executable, "-W", "ignore", *words]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    call("-c", "import labelfactory, sys; sys.exit(not labelfactory.__file__.startswith(sys.argv[1]))", str(extended))
    return call


def test_no_addition_touches_more_than_one_file_and_one_line() -> None:
    tables = [table for _, _, table, _, _ in ADDITIONS.values()]
    assert len(set(tables)) == len(tables) == 7
    page = (ROOT / "docs" / "architecture.md").read_text()
    for _, _, table, _, _ in ADDITIONS.values():
        assert table.rpartition("/")[2] in page


def test_toys_go_through_the_whole_factory(run: Callable[..., str]) -> None:
    factory = ("-m", "labelfactory")
    write = """
import json, torch
from safetensors.torch import save_file
header = json.dumps({"format": 1, "family": "toy", "metadata": {}})
save_file({"generator.nothing": torch.zeros(1)}, "toy.safetensors", {"labelfactory": header})
"""
    run("-c", write)
    run(
        *factory, "sample", "--generator", "toy.safetensors", "--classes", "background,spot", "--count", "6",
        "--candidates", "12", "--truncation", "1", "--out", "labels",
    )  # fmt: skip
    label = """
from dataclasses import replace
import numpy as np
from labelfactory import LabelSet, open_generator
from labelfactory.factory.heads.head import train_head
from labelfactory.factory.heads.table import head_of
labels = LabelSet.load("labels")
masks = [(s.image[..., 0] > 100).astype(np.uint8) for s in labels]
labels = replace(labels, samples=tuple(s._replace(mask=m) for s, m in zip(labels, masks)))
labels.save("labels", overwrite=True)
train_head(head_of("brightness"), open_generator("toy.safetensors"), labels, 2, progress=False).save("b.safetensors")
"""
    run("-c", label)
    propose = """
import threading
import numpy as np
from labelfactory import LabelSet
from labelfactory.factory.labels.learning_process import LearningProcess
from labelfactory.factory.labels.proposer import Proposal
labels, all_said, said = LabelSet.load("labels"), threading.Event(), {}
def hear(message):
    if isinstance(message, Proposal):
        said[message.index] = message.mask
    if len(said) == 6:
        all_said.set()
process = LearningProcess(labels, "toy.safetensors", "cpu", hear, proposer="halves")
process.drawn(0, np.ones_like(labels.samples[0].mask))
assert all_said.wait(120)
process.stop()
assert all(mask[:4].all() and not mask[-4:].any() for mask in said.values())
"""
    run("-c", propose)
    run(
        *factory, "generate", "--generator", "toy.safetensors", "--labels", "labels", "--brightness", "b.safetensors",
        "--count", "20", "--shard-size", "8", "--out", "toy://pairs",
    )  # fmt: skip
    run(*factory, "verify", "toy://pairs")
    read = """
import numpy as np
from labelfactory import open_dataset
pairs = open_dataset("toy://pairs", keep=False)
image, mask, brightness = (pairs.read(n, range(20)) for n in ("image", "mask", "brightness"))
print(np.abs(image[..., 0] / 255 - brightness).mean(), (mask == (image[..., 0] > 100)).mean())
"""
    error, agreement = map(float, run("-c", read).split())
    assert error < 0.05
    assert agreement > 0.95
    said = run(*factory, "export", "toy://pairs", "--format", "listing", "--out", "listed")
    assert "18 samples in 3 files" in said  # those that the uncertainty filter keeps
    assert "brightness" in said  # what the format leaves out is said
    run(
        *factory, "train-segmenter", "--pairs", "toy://pairs", "--architecture", "threshold", "--steps", "60",
        "--toy-wish", "4", "--out", "threshold.safetensors",
    )  # fmt: skip
    run(
        *factory, "evaluate", "--segmenter", "threshold.safetensors", "--images", "labels/images", "--masks",
        "labels/masks", "--out", "report",
    )  # fmt: skip


def test_an_option_is_everywhere_at_once(run: Callable[..., str]) -> None:
    assert "Wish of the toy" in run("-m", "labelfactory", "train-segmenter", "--help")
    schema = """
import json
from prefect.utilities.callables import parameter_schema
from labelfactory.flows.evaluate_dataset import evaluate_dataset
print(json.dumps(parameter_schema(evaluate_dataset).properties["toy_wish"]))
"""
    form = json.loads(run("-c", schema))
    assert (form["minimum"], form["maximum"], form["default"]) == (1, 9, 3)
    assert "Wish of the toy" in form["description"]
    assert "--brightness" in run("-m", "labelfactory", "generate", "--help")
