"""Everything that a Prefect server needs for the factory: health, work pool, deployments, the zombie automation."""

import asyncio
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from labelfactory.errors import InputError, WorkError
from labelfactory.flows.running import OWN

POOL = "factory"
HEARTBEAT_S, ZOMBIE_S = 30, 90
AUTOMATION = "labelfactory: a run without heartbeats has crashed"


def healthy(api_url: str, timeout_s: float = 2.0) -> bool:
    """Whether a Prefect server answers there (its health is told without authentication)."""
    try:
        with urllib.request.urlopen(f"{api_url}/health", timeout=timeout_s) as answer:
            return bool(answer.status == 200 and answer.read(16).strip() == b"true")
    except (OSError, ValueError):
        return False


def port_taken(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return True
    return False


def wait_until_healthy(api_url: str, alive: Callable[[], bool], timeout_s: float, log: str) -> None:
    deadline = time.monotonic() + timeout_s
    while not healthy(api_url):
        if not alive():
            raise WorkError(f"the Prefect server ended before it answered; see {log}")
        if time.monotonic() > deadline:
            raise WorkError(f"the Prefect server at {api_url} has not answered for {timeout_s:.0f} s; see {log}")
        time.sleep(0.25)


def prefect(*arguments: str) -> list[str]:
    """The command line of the Prefect beside this Python."""
    return [sys.executable, "-m", "prefect", *arguments]


def environment(api_url: str, **more: str) -> dict[str, str]:
    """For every process that we start: no telemetry, the plugin on, heartbeats that the automation waits for."""
    return {
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        **os.environ,
        "PREFECT_API_URL": api_url,
        "PREFECT_PLUGINS_ENABLED": "true",
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_S),
        "PYTHONUNBUFFERED": "1",
        **more,
    }


def deployments_file(given: Path | None = None) -> Path:
    """The prefect.yaml that is given, or the package's own."""
    path = given or OWN
    if not path.is_file():
        raise InputError(f"{path}: no such file; name a prefect.yaml with --deployments, or leave it out for ours")
    return path.absolute()


def prepare_server(api_url: str, deployments: Path, slots: int) -> None:
    """Work pool with ``slots`` runs at a time, automation and deployments; what is there already is brought up to date.

    A deployment that exists keeps its schedules' on and off.
    """
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: api_url}):
        asyncio.run(_pool_and_automation(slots))
    done = subprocess.run(
        prefect("--no-prompt", "deploy", "--all", "--prefect-file", str(deployments)),
        env=environment(api_url),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise WorkError(f"prefect deploy failed: {' '.join((done.stderr or done.stdout).split())[-600:]}")


async def _pool_and_automation(slots: int) -> None:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
    from prefect.exceptions import ObjectNotFound
    from prefect.workers.process import ProcessWorker

    async with get_client() as client:
        try:
            await client.read_work_pool(POOL)
            await client.update_work_pool(POOL, WorkPoolUpdate(concurrency_limit=slots))
        except ObjectNotFound:
            template = ProcessWorker.get_default_base_job_template()
            await client.create_work_pool(
                WorkPoolCreate(name=POOL, type="process", base_job_template=template, concurrency_limit=slots)
            )
    automation = zombie_automation()
    try:
        existing = await type(automation).aread(name=AUTOMATION)
        automation.id = existing.id
        await automation.aupdate()
    except ValueError:  # there is none of this name
        await automation.acreate()


def zombie_automation() -> Any:
    """A run whose heartbeats stop without an end becomes CRASHED (docs.prefect.io: detect zombie flows)."""
    from prefect.automations import Automation
    from prefect.client.schemas.objects import StateType
    from prefect.events.actions import ChangeFlowRunState
    from prefect.events.schemas.automations import EventTrigger, Posture

    ends = {f"prefect.flow-run.{state}" for state in ("Completed", "Failed", "Cancelled", "Crashed")}
    return Automation(
        name=AUTOMATION,
        description=f"Heartbeats come every {HEARTBEAT_S} s; none for {ZOMBIE_S} s means that the process was killed.",
        trigger=EventTrigger(
            after={"prefect.flow-run.heartbeat"},
            expect={"prefect.flow-run.heartbeat", *ends},
            match={"prefect.resource.id": ["prefect.flow-run.*"]},
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=timedelta(seconds=ZOMBIE_S),
        ),
        actions=[
            ChangeFlowRunState(
                state=StateType.CRASHED,
                message=f"No heartbeat for {ZOMBIE_S} s: the process or its machine is gone. What is committed stays; "
                "run it again to resume.",
            )
        ],
    )
