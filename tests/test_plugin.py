"""The short deployment name, and the note by which other commands find a running factory."""

import json
import subprocess
import sys

import pytest
import yaml
from running_factory import free_port

from labelfactory.flows.plugin import completed, deployments
from labelfactory.flows.running import leave_note, note_path, remove_note, running_api_url
from labelfactory.flows.server import deployments_file


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("deployment run generate-dataset", "deployment run generate-dataset/generate-dataset"),
        ("deployment run generate-dataset/nightly", "deployment run generate-dataset/nightly"),
        ("deployment run --watch verify-dataset", "deployment run --watch verify-dataset/verify-dataset"),
        ("deployment run -p count=5 generate-dataset", "deployment run -p count=5 generate-dataset/generate-dataset"),
        ("deployment run --tag generate-dataset a/b", "deployment run --tag generate-dataset a/b"),
        (
            "--no-prompt deployment inspect train-generator",
            "--no-prompt deployment inspect train-generator/train-generator",
        ),
        ("deployment run somebody-elses", "deployment run somebody-elses"),
        ("flow-run ls --flow-name generate-dataset", "flow-run ls --flow-name generate-dataset"),
    ],
)
def test_only_the_name_itself_is_completed(typed, meant):
    assert completed(typed.split()) == meant.split()


def test_every_deployment_of_the_file_has_a_short_name_and_a_flow():
    from prefect.flows import load_flow_from_entrypoint
    from prefect.utilities.callables import parameter_schema

    found = yaml.safe_load(deployments_file().read_text())["deployments"]
    assert [entry["name"] for entry in found] == deployments()
    for entry in found:
        flow = load_flow_from_entrypoint(entry["entrypoint"], use_placeholder_flow=False)
        assert flow.name == entry["name"]
        flow.validate_parameters(entry["parameters"])
        form = parameter_schema(flow.fn).model_dump()["properties"]
        assert all(field.get("description") for field in form.values()), f"{flow.name}: fields without a description"


def test_a_note_counts_while_its_writer_lives(tmp_path, monkeypatch):
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    assert running_api_url() is None
    leave_note("http://127.0.0.1:1/api")
    assert running_api_url() == "http://127.0.0.1:1/api"
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    note_path().write_text(json.dumps({"pid": child.pid, "api_url": "http://127.0.0.1:1/api"}))
    assert running_api_url() is None
    note_path().write_text("half a no")
    assert running_api_url() is None
    remove_note()
    assert not note_path().exists()


def test_a_configured_server_that_does_not_answer_is_told(tmp_path, monkeypatch):
    from labelfactory.errors import InputError
    from labelfactory.flows import up
    from labelfactory.flows.supervision import Supervisor

    monkeypatch.setattr(up, "ANSWER_TIMEOUT_S", 1.0)
    url = f"http://127.0.0.1:{free_port()}/api"
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: url}), pytest.raises(InputError, match="nothing answers there"):
        up.ensure_server(Supervisor(print), print, "127.0.0.1", free_port())
