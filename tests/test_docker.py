"""The container files as far as they can be checked without a Docker engine."""

import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

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
    for requirement in requirements:
        assert requirement.specifier.contains(pins[requirement.name.lower().replace("_", "-")]), requirement


def test_the_command_of_the_image_exists():
    scripts = importlib.metadata.entry_points(group="console_scripts", name="factory")
    if not scripts:
        pytest.skip("the package is not installed (pip install -e .)")
    done = subprocess.run([sys.executable, "-m", "flows.cli", "up", "--help"], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0
    assert "--workspace" in done.stdout


def test_health_is_bad_where_nothing_answers(tmp_path, monkeypatch):
    from flows.health import main

    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    assert main() == 1


def test_compose_opens_nothing_beyond_localhost_and_holds_no_secret():
    document = compose()
    assert set(document["services"]) == {"database", "server", "worker", "s3"}
    for name, service in document["services"].items():
        assert set(service) <= SERVICE_KEYS, name
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


SERVICE_KEYS = {
    *("build", "cap_drop", "command", "depends_on", "deploy", "entrypoint", "environment", "healthcheck", "image"),
    *("init", "networks", "ports", "profiles", "restart", "security_opt", "stop_grace_period", "volumes"),
}
