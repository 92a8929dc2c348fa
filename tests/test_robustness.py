"""The command line where something is missing: a home, a disk, a network, patience. One line each, at once."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command_line import Factory
from running_factory import free_port
from tiny_world import TinyWorld

from labelfactory.storage import open_store

PROGRAM = [sys.executable, "-W", "ignore", "-m", "labelfactory"]


def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [*PROGRAM, *map(str, arguments)]
    kept = {k: v for k, v in os.environ.items() if k not in ("LABELFACTORY_CACHE", "PREFECT_HOME", "XDG_CACHE_HOME")}
    return subprocess.run(command, env=kept | environment, capture_output=True, text=True, timeout=300)


def refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode in (1, 2), done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    for word in words:
        assert word in done.stderr


def test_help_loads_neither_torch_nor_zarr_and_is_quick() -> None:
    code = "import sys, labelfactory.flows.cli as c\ntry: c.app(['--help'])\nexcept SystemExit: pass\n"
    code += "heavy = {'torch', 'zarr', 'prefect', 'numpy', 'scipy'} & set(sys.modules); assert not heavy, heavy"
    seconds = []
    for _ in range(3):
        before = os.times()
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)
        after = os.times()
        seconds.append(sum(after[2:4]) - sum(before[2:4]))  # of the processor: others may be at work beside us
    assert min(seconds) < 0.3


@pytest.mark.parametrize("command", ["import-labels", "train-segmenter", "train-generator", "generate"])
def test_help_of_a_command_loads_no_torch(command: str) -> None:
    code = f"import sys, labelfactory.flows.cli as c\ntry: c.app(['{command}', '--help'])\nexcept SystemExit: pass\n"
    subprocess.run(
        [sys.executable, "-c", f"{code}assert 'torch' not in sys.modules"], check=True, capture_output=True, timeout=60
    )


def test_labels_are_imported_without_torch(tiny_world: TinyWorld, tmp_path: Path) -> None:
    call = ["import-labels", "--labels", tiny_world.labels, "--source", tiny_world.labels / "masks"]
    call += ["--out", tmp_path / "new", "--format", "png"]
    code = f"import sys, labelfactory.flows.cli as c\ntry: c.app({[str(word) for word in call]})\n"
    code += "except SystemExit as ended: assert not ended.code\nassert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=120)
    assert (tmp_path / "new" / "labelset.json").is_file()


def test_version(factory: Factory) -> None:
    assert factory("--version").out.startswith("labelfactory ")


def test_the_home_folder_is_meant_after_an_equals_sign_too(factory: Factory, tmp_path: Path) -> None:
    os.environ["HOME"], before = str(tmp_path), os.environ["HOME"]
    try:
        result = factory("sample", "--generator=builtin:nuclei64", "--count=0", "--out=~/set")
        assert result.code == 2
        (tmp_path / "set").mkdir()
        result = factory("sample", "--generator=builtin:nuclei64", "--count=1", "--out=~/set")
        assert f"{tmp_path}/set: exists already" in result.err
    finally:
        os.environ["HOME"] = before


def test_without_a_home_it_is_said_what_to_set(tmp_path: Path) -> None:
    began = time.monotonic()
    for home in ("/nonexistent/home", "/proc"):
        refused(run("demo", "--count", 10, "--out", tmp_path / "demo", HOME=home), "PREFECT_HOME")
        refused(run("up", "--port", free_port(), "--workspace", tmp_path / "w", HOME=home), "PREFECT_HOME")
    assert time.monotonic() - began < 60
    assert list(tmp_path.iterdir()) == []


def test_a_cache_that_cannot_be_written_is_said_before_the_training(tiny_world: TinyWorld, tmp_path: Path) -> None:
    call = ["generate", "--generator", tiny_world.checkpoint, "--labels", tiny_world.labels, "--count", 5]
    done = run(*call, "--out", tmp_path / "a.zarr", LABELFACTORY_CACHE="/proc/cache")
    refused(done, "/proc/cache", "LABELFACTORY_CACHE")


def test_a_server_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    call = ["generate", "--generator", f"http://127.0.0.1:{free_port()}/g.safetensors", "--labels", "x", "--count", 5]
    began = time.monotonic()
    done = run(*call, "--out", tmp_path / "a.zarr")
    refused(done, "127.0.0.1")
    assert "cannot be reached" in done.stderr
    assert time.monotonic() - began < 60


def test_an_interruption_says_what_is_kept_and_the_same_command_goes_on(
    tiny_world: TinyWorld, tmp_path: Path, factory: Factory
) -> None:
    out = tmp_path / "a.zarr"
    call = ["generate", "--generator", tiny_world.checkpoint, "--labels", tiny_world.labels, "--count", 4000]
    call += ["--shard-size", 20, "--out", out]
    started = subprocess.Popen([*PROGRAM, *map(str, call)], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 200
    while not list(out.glob("_commits/*.json")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    started.send_signal(signal.SIGINT)
    _, said = started.communicate(timeout=120)
    assert started.returncode == 130, said
    last = said.strip().splitlines()[-1]
    store = open_store(str(out))
    done = store.num_shards - len(store.missing())
    assert last == (
        f"factory: interrupted; {done} of 200 shards are committed and stay; the same command makes the others"
    )
    assert 0 < done < 200


@pytest.mark.parametrize(
    ("command", "module", "function"),
    [
        ("sample", "labels.selection", "sample_images"),
        ("train-interpreter", "heads.making", "make_interpreter"),
    ],
)
def test_an_interruption_of_what_keeps_nothing_says_so(
    command: str, module: str, function: str, factory: Factory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*given: object, **named: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(f"labelfactory.factory.{module}.{function}", interrupted)
    call = [command, "--generator", "builtin:nuclei64", "--labels", "builtin:nuclei64", "--out", tmp_path / "out"]
    result = factory(*call)
    assert result.code == 130
    assert result.err == "factory: interrupted; nothing was written; the same command begins again\n"
    assert list(tmp_path.iterdir()) == []
