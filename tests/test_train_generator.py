"""``factory train-generator`` and ``evaluate-generator`` as typed: what they leave, what they refuse."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from training_world import blobs
from typer.testing import CliRunner

from labelfactory.errors import InputError
from labelfactory.factory.stylegan2_ada.checkpoint import load_checkpoint
from labelfactory.factory.training.feature_encoder import DomainEncoder, save_encoder, train_encoder
from labelfactory.factory.training.quality import all_images
from labelfactory.flows.cli import app

TINY = ["--preset", "tiny", "--batch", "4", "--precision", "float32", "--device", "cpu"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return blobs(tmp_path_factory.mktemp("data") / "blobs", count=70, channels=1)


def factory(*words: object) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=True)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def test_a_run_leaves_a_generator_goes_on_and_is_measured(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    said = factory("train-generator", "--data", data, "--out", out, "--kimg", "0.008", *TINY)
    assert "70 images, 8 px, 1 channels, 0 classes" in said
    assert load_checkpoint(out / "generator.safetensors").metadata["images_seen"] == 8
    said = factory("train-generator", "--data", data, "--out", out, "--kimg", "0.012", "--keep-kimg", "0.004", *TINY)
    assert "goes on from" in said
    assert "batch 4, learning rate 0.0025, gamma 0.0512, EMA 10 kimg, augmentation bgc (adaptive)" in said
    assert sorted(path.name for path in out.iterdir() if path.is_file() and path.name[0] != ".") == [
        "curves.png",
        "generator-000000.safetensors",
        "generator.safetensors",
        "log.jsonl",
        "snapshot.pt",
    ]
    assert [json.loads(line)["kimg"] for line in (out / "log.jsonl").read_text().splitlines()] == [0.008, 0.012]

    from labelfactory.factory.training.dataset import ImageDataset

    encoder = tmp_path / "encoder.safetensors"
    save_encoder(train_encoder(all_images(ImageDataset(data)), steps=1, batch=8), encoder)
    report = tmp_path / "quality.json"
    words = ["--generator", out / "generator.safetensors", "--data", data, "--encoder", encoder]
    said = factory("evaluate-generator", *words, "--count", 20, "--psi", 1.0, "--psi", 0.7, "--out", report)
    assert said.count("real, held out") == 1
    (entry,) = json.loads(report.read_text())["generators"]
    assert [row["psi"] for row in entry["quality"]] == [1.0, 0.7]
    assert entry["quality"][0]["fid_ratio"] > 1
    assert (entry["generator"], entry["images_seen"]) == ("generator.safetensors", 12)


def test_a_run_is_measured_from_its_first_generator_to_its_last(data: Path, tmp_path: Path) -> None:
    out, picture = tmp_path / "run", tmp_path / "run" / "curves.png"
    factory("train-generator", "--data", data, "--out", out, "--kimg", "0.072", "--keep-kimg", "0.064", *TINY)
    (out / "generator-000000.safetensors").rename(out / "generator-0064.safetensors")  # kimg of a toy run
    before = picture.read_bytes()
    words = ["evaluate-generator", "--data", data, "--count", 20, "--encoder", tmp_path / "encoder.safetensors"]
    save_encoder(DomainEncoder(1), tmp_path / "encoder.safetensors")
    said = factory(*words, "--run", out)
    assert [line.split()[0] for line in said.splitlines() if "kimg, psi" in line] == ["0.064", "0.072"]
    assert picture.read_bytes() != before
    report = (out / "quality.json").read_bytes()
    written = json.loads(report)
    assert [entry["images_seen"] for entry in written["generators"]] == [64, 72]

    # What was measured in the same way is not measured again; what was not, is.
    written["generators"][0]["quality"][0]["generated"]["fid"] = 12345.0
    (out / "quality.json").write_text(json.dumps(written))
    assert "12345.000" in factory(*words, "--run", out)
    factory(*words, "--run", out, "--seed", 1)
    assert "12345" not in (out / "quality.json").read_text()

    (out / "quality.json").write_text("{}")
    with pytest.raises(InputError, match="is no report of evaluate-generator"):
        factory(*words, "--run", out)
    with pytest.raises(InputError, match=r"holds no generator\.safetensors"):
        factory(*words, "--run", tmp_path)
    with pytest.raises(InputError, match="give --generator"):
        factory(*words)
    with pytest.raises(InputError, match=r"are \(64, 1, 0\), those of .* are \(8, 1, 0\)"):
        factory(*words, "--run", out, "--generator", "builtin:nuclei64")


def test_a_run_is_finished_in_another_folder_with_other_numbers(data: Path, tmp_path: Path) -> None:
    call = ["train-generator", "--data", data, "--preset", "tiny", "--precision", "float32", "--device", "cpu"]
    factory(*call, "--out", tmp_path / "run", "--kimg", "0.008", "--batch", 4)
    wishes = ["--learning-rate", 0.001, "--batch", 8, "--ema-kimg", 20]
    said = factory(
        *call, "--out", tmp_path / "end", "--kimg", "0.024", "--resume", tmp_path / "run/snapshot.pt", *wishes
    )
    assert "batch 8, learning rate 0.001, gamma 0.0512, EMA 20 kimg" in said
    assert [json.loads(line)["step"] for line in (tmp_path / "end" / "log.jsonl").read_text().splitlines()] == [4]
    recipe = load_checkpoint(tmp_path / "end" / "generator.safetensors").metadata["recipe"]
    assert (recipe["batch"], recipe["learning_rate"], recipe["ema_kimg"]) == (8, 0.001, 20)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--preset", "huge"], "preset 'huge': expected one of auto, stylegan2"),
        (["--kimg", "0"], "kimg is 0"),
        (["--resolution", "48"], "resolution 48: expected a power of two"),
        (["--augment", "all"], "augment 'all': expected one of none, blit"),
        (["--precision", "int8"], "precision 'int8': expected one of auto"),
        (["--batch", "7"], "multiple of the minibatch-std group"),
        (["--micro", "0"], "micro is 0: expected 1 or more"),
        (["--resume", "missing.pkl"], "missing.pkl: no such file"),
        (["--data", "nowhere"], "nowhere: no such folder or zip"),
        (["--conditional"], "dataset.json is missing"),
        (["--device", "tpu"], "device 'tpu': expected one of auto, cpu"),
    ],
)
def test_wrong_calls_are_refused_before_anything_is_written(
    words: list[str], line: str, data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    with pytest.raises(InputError, match=line):
        factory("train-generator", "--data", data, "--out", out, "--kimg", "0.004", *TINY[:2], *words)
    assert not out.exists()


def test_a_wrong_call_ends_in_one_line_and_exit_code_two(data: Path, tmp_path: Path) -> None:
    words = ["train-generator", "--data", str(data), "--out", str(tmp_path / "run"), "--preset", "huge"]
    done = subprocess.run([sys.executable, "-m", "labelfactory", *words], capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "preset 'huge'" in done.stderr
