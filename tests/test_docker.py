"""The container files as far as they can be checked without a Docker engine."""

import importlib.metadata
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from running_factory import RunningFactory

ROOT = Path(__file__).parent.parent
DOCKERFILE = (ROOT / "docker" / "Dockerfile").read_text()


def instructions() -> list[tuple[str, str]]:
    """(instruction, rest) with continued lines joined, comments left out."""
    text = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.MULTILINE))
    return [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in text.splitlines() if line.strip()]


def compose(name: str = "compose.yaml") -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((ROOT / "docker" / name).read_text())
    return document


def test_everything_that_is_copied_exists_and_reaches_the_build():
    ignored = (ROOT / ".dockerignore").read_text().split()
    for instruction, rest in instructions():
        if instruction == "COPY":
            for source in rest.split()[:-1]:
                assert f"!{source}" in ignored
                if source != "README.md":  # written last
                    assert (ROOT / source).exists()


@pytest.mark.skipif(
    not os.environ.get("LABELFACTORY_LONG_TESTS"), reason="installs everything anew; LABELFACTORY_LONG_TESTS=1 runs it"
)
def test_the_build_steps_make_an_installation_that_runs(tmp_path):
    """The image without a Docker engine: its files alone, its pip commands in a fresh environment, then a typed run.

    Left out is what makes users and folders of the image's system.
    """
    app, venv, home = (tmp_path / name for name in ("app", "venv", "home"))
    app.mkdir()
    home.mkdir()
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    variables = {"PATH": f"{venv / 'bin'}:{os.environ['PATH']}", "HOME": str(home), **image_environment()}
    variables |= {"PREFECT_HOME": str(home / ".prefect"), "LABELFACTORY_CACHE": str(home / "cache")}  # not /home, /data
    kept = {k: v for k, v in os.environ.items() if k.startswith(("PIP_", "SSL_", "LANG"))}
    replayed = []
    for instruction, rest in instructions():
        if instruction == "ARG":
            name, _, value = rest.partition("=")
            variables[name] = value
        elif instruction == "COPY":
            *sources, target = rest.split()
            for source in sources:
                copy_into_image(ROOT / source, app, target)
        elif instruction == "RUN" and "pip " in rest:
            if not answers(variables["TORCH_INDEX"]):
                rest = rest.replace('--index-url "${TORCH_INDEX}" ', "")
                print("PyTorch's own index does not answer: the one of this machine's pip was used")
            subprocess.run(["sh", "-ec", rest], cwd=app, env=kept | variables, check=True)
            replayed.append(rest)
    assert len(replayed) == 3
    python = str(venv / "bin" / "python")
    check = subprocess.run([python, "-m", "pip", "check"], capture_output=True, text=True)
    assert check.returncode == 0, check.stdout
    code = "from labelfactory import flows, factory; print(flows.__file__, factory.__file__)"
    where = subprocess.run([python, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert all(path.startswith(str(venv)) for path in where.split())  # the installed package, with its models

    data = tmp_path / "data"
    for source in ("labelfactory", "flows", "factory", "interpreters", "storage"):
        shutil.rmtree(app / source)  # so that nothing can be taken from the sources
    factory = RunningFactory(home, data, python, app, **variables)
    try:
        factory.wait_until_up(300)
        healthy = subprocess.run(
            [python, "-m", "labelfactory.flows.health"], cwd=app, env=factory.environment, capture_output=True
        )
        assert healthy.returncode == 0  # what HEALTHCHECK runs
        told = factory.prefect("deployment", "run", "generate-dataset", "--param", "count=64", "--watch", timeout=500)
        assert "Flow run finished successfully" in told
        assert (data / "nuclei64.zarr" / "manifest.json").is_file()
    finally:
        factory.stop()


def image_environment() -> dict[str, str]:
    return {
        name: value
        for instruction, rest in instructions()
        if instruction == "ENV"
        for name, _, value in (word.partition("=") for word in shlex.split(rest))
    }


def copy_into_image(source: Path, app: Path, target: str) -> None:
    """COPY, with WORKDIR for ``app``."""
    if source.is_dir():
        shutil.copytree(source, app / target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, app / target)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=10):
            return True
    except OSError:
        return False


def test_the_image_runs_as_nobody_special_and_pins_its_base():
    steps = instructions()
    assert steps[0] == ("FROM", "python:3.11.13-slim-bookworm")
    users = [rest for instruction, rest in steps if instruction == "USER"]
    assert users == ["factory"]
    kinds = [instruction for instruction, _ in steps]
    assert kinds.index("USER") > max(i for i, kind in enumerate(kinds) if kind in ("RUN", "COPY"))
    assert "HEALTHCHECK" in kinds
    assert ("ENTRYPOINT", '["factory"]') in steps


def test_the_layer_of_requirements_is_that_of_the_project():
    """The build step itself: which requirements it installs, and that the pinned versions satisfy them all."""
    extras = re.search(r"requirements\.py ([\w ]+?) >", DOCKERFILE)
    assert extras is not None
    done = subprocess.run(
        [sys.executable, ROOT / "docker" / "requirements.py", *extras[1].split()],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    requirements = [Requirement(line) for line in done.stdout.splitlines()]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {str(Requirement(entry)) for entry in project["dependencies"]} <= {str(entry) for entry in requirements}
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line[0] != "#"]
    pins = {pin.name.lower().replace("_", "-"): next(iter(pin.specifier)).version for pin in map(Requirement, lines)}
    pins["torch"] = re.search(r"TORCH_VERSION=(\S+)", DOCKERFILE)[1]  # type: ignore[index]
    assert "pip install -r requirements.txt -c constraints.txt" in DOCKERFILE
    for requirement in requirements:
        assert requirement.specifier.contains(pins[requirement.name.lower().replace("_", "-")]), requirement


def test_the_command_of_the_image_exists():
    scripts = importlib.metadata.entry_points(group="console_scripts", name="factory")
    if not scripts:
        pytest.skip("the package is not installed (pip install -e .)")
    done = subprocess.run(
        [sys.executable, "-m", "labelfactory", "up", "--help"], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0
    assert "--workspace" in done.stdout


def test_health_is_bad_where_nothing_answers(tmp_path, monkeypatch):
    from labelfactory.flows.health import main

    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    assert main() == 1


def test_compose_files_follow_the_official_schema(tmp_path):
    files = [str(ROOT / "docker" / name) for name in ("compose.yaml", "compose.gpu.yaml")]
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*command, *files], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    wrong = tmp_path / "compose.yaml"
    wrong.write_text((ROOT / "docker" / "compose.yaml").read_text().replace("healthcheck:", "healthchek:"))
    done = subprocess.run([*command, str(wrong)], capture_output=True, text=True)
    assert done.returncode == 1
    assert "healthchek" in done.stdout


def test_compose_opens_nothing_beyond_localhost_and_holds_no_secret():
    document = compose()
    assert set(document["services"]) == {"database", "server", "worker", "s3"}
    for service in document["services"].values():
        assert "privileged" not in service
        for port in service.get("ports", []):
            assert port.startswith("${BIND_ADDRESS:-127.0.0.1}:")
        for key, value in service.get("environment", {}).items():
            if re.search("PASSWORD|AUTH|SECRET|KEY", key):
                assert value is None or value.startswith("${"), key
        tag = service["image"].rpartition(":")[2]
        assert tag not in ("latest", service["image"])
    required = re.findall(r"\$\{(\w+):\?", (ROOT / "docker" / "compose.yaml").read_text())
    assert {"POSTGRES_PASSWORD", "PREFECT_AUTH"} <= set(required)
    offered = (ROOT / "docker" / "env.example").read_text()
    assert all(f"{name}=" in offered for name in required)


def test_compose_services_know_each_other():
    document = compose()
    for service in document["services"].values():
        for needed, condition in service.get("depends_on", {}).items():
            assert condition["condition"] == "service_healthy"
            other = document["services"][needed]
            assert "healthcheck" in other or "build" in other  # our image brings its own
        for volume in service.get("volumes", []):
            assert volume.split(":")[0] in document["volumes"]
    gpu = compose("compose.gpu.yaml")["services"]["worker"]["deploy"]["resources"]["reservations"]["devices"][0]
    assert gpu["capabilities"] == ["gpu"]
