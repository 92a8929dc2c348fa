"""Shared fixtures: optional real data, found through LABELFACTORY_DATA."""

import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from command_line import Factory
    from tiny_world import TinyWorld

    from labelfactory.factory.generator import Invertible

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tiny tensors: threads would only wait for each other
os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
if shutil.which("nvidia-smi") is None:
    # Triton's kernels then run in its interpreter; it reads this when it is imported.
    os.environ.setdefault("TRITON_INTERPRET", "1")

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # A shell starts what runs in its background so; our own processes would inherit it and no Ctrl-C could end them.
    signal.signal(signal.SIGINT, signal.default_int_handler)

DATA = Path(__file__).parent / "data"


@pytest.fixture(scope="session")
def nuclei64() -> Path:
    """Folder of the real nuclei64 crops (train_images.zip and its three siblings)."""
    root = os.environ.get("LABELFACTORY_DATA")
    if not root:
        pytest.skip("LABELFACTORY_DATA is unset: it names the folder that holds nuclei64/")
    folder = Path(root) / "nuclei64"
    if not folder.is_dir():
        pytest.skip(f"LABELFACTORY_DATA has no nuclei64 folder: {folder}")
    return folder


@pytest.fixture(scope="session")
def label_files() -> Path:
    """Folder of label files that labelling tools wrote (see its README)."""
    return DATA / "labels"


@pytest.fixture(scope="session")
def tiny_world(tmp_path_factory: pytest.TempPathFactory) -> "TinyWorld":
    """A 16 px generator of random weights and a label set for it."""
    from tiny_world import make_tiny_world  # here: what conftest imports escapes the checks of shapes

    return make_tiny_world(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[None]:
    """One temporary Prefect server for every test that runs flows in this process."""
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=180):
        yield


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or fills the user's cache of interpreters; within a run they share one."""
    monkeypatch.setenv("LABELFACTORY_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random 16 x 16 grey generator and discriminator, as a file."""
    import torch

    from labelfactory.factory.stylegan2_ada.checkpoint import save_safetensors
    from labelfactory.factory.stylegan2_ada.networks import Discriminator, Generator

    torch.manual_seed(0)
    sizes = {"img_resolution": 16, "img_channels": 1, "channel_base": 128, "channel_max": 12}
    generator = Generator(z_dim=8, c_dim=0, w_dim=8, mapping_layers=2, **sizes)
    with torch.no_grad():  # pictures that use the range of grey instead of clipping
        image = generator(torch.randn(64, 8), noise_mode="const")
        for resolution in generator.synthesis.resolutions:
            to_rgb = getattr(generator.synthesis, f"b{resolution}").torgb
            to_rgb.weight.mul_(0.4 / image.std())
            to_rgb.bias.mul_(0)
        to_rgb.bias.sub_(image.mean() * 0.4 / image.std())
    path = tmp_path_factory.mktemp("tiny_generator") / "tiny.safetensors"
    save_safetensors(path, generator, Discriminator(c_dim=0, **sizes))
    return path


@pytest.fixture
def tiny_generator(tiny_checkpoint: Path) -> "Invertible":
    from labelfactory.factory.families import open_generator

    return open_generator(str(tiny_checkpoint), "cpu")


@pytest.fixture
def factory(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> "Factory":
    """The command line in this process: a new one would spend seconds on imports."""
    from command_line import Result

    from labelfactory.flows.cli import main

    def call(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["factory", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        return Result(int(ended.value.code or 0), *capsys.readouterr())

    return call


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The suite of every change stays under twelve minutes; what is marked long runs on request."""
    if os.environ.get("LABELFACTORY_LONG_TESTS"):
        return
    skipped = pytest.mark.skip(reason="takes long; LABELFACTORY_LONG_TESTS=1 runs it")
    for item in items:
        if item.get_closest_marker("long"):
            item.add_marker(skipped)
