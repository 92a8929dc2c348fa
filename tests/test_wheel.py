"""The wheel in a fresh environment, away from the sources and beside factory_boy, whose module is ``factory``."""

import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
from running_factory import RunningFactory

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of what belongs to the package, so that nothing is left in the sources."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("factory", "flows", "interpreters", "storage", "labelfactory"):
        leave_out = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, folder / "source" / name, symlinks=True, ignore=leave_out)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / "source")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "."]
    subprocess.run([*command, "--wheel-dir", folder], cwd=folder / "source", check=True, capture_output=True)
    (found,) = folder.glob("labelfactory-*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python of a new environment with the wheel; its dependencies are those of this environment."""
    venv = tmp_path_factory.mktemp("installed") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    python = venv / "bin" / "python"
    packages = next((venv / "lib").glob("python*")) / "site-packages"
    target = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", wheel]
    subprocess.run(target, check=True, capture_output=True)
    (packages / "dependencies.pth").write_text(
        "\n".join(p for p in dict.fromkeys([sysconfig.get_path("purelib"), *sys.path]) if p.endswith("site-packages"))
    )
    return python


def run(python: Path, folder: Path, *words: str) -> str:
    done = subprocess.run([python, "-W", "ignore", *words], cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_wheel_holds_one_package(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    top = {name.split("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == {"labelfactory"}
    assert "labelfactory/flows/prefect.yaml" in names
    assert "labelfactory/factory/models/nuclei64/generator.safetensors" in names


def test_it_lives_beside_factory_boy(installed: Path, tmp_path: Path) -> None:
    code = "import factory, labelfactory.factory as ours; print(factory.Factory.__module__, ours.__file__)"
    module, place = run(installed, tmp_path, "-c", code).split()
    assert module == "factory.base"
    assert Path(place).is_relative_to(installed.parent.parent)


def test_demo_runs_from_the_wheel(installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    told = run(installed, tmp_path, "-m", "labelfactory", "demo", "--count", "32")
    assert "32 pairs" in told
    assert (tmp_path / "demo" / "nuclei_contact_sheet.png").is_file()


def test_up_finds_its_deployments_in_the_wheel(installed: Path, tmp_path: Path) -> None:
    """The words ``prefect deployment run generate-dataset`` work as typed beside it; test_up watches such a run."""
    factory = RunningFactory(tmp_path, tmp_path / "data", str(installed), tmp_path)
    try:
        factory.wait_until_up()
        assert "prefect deployment run generate-dataset" in factory.log
        assert "flow-run" in factory.prefect("deployment", "run", "generate-dataset", "--param", "count=8")
    finally:
        factory.kill()
