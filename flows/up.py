"""What ``factory up`` does, in its order: server, work pool, deployments, automation, workers, then watching."""

import os
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from labelfactory.errors import InputError
from labelfactory.flows.access import ALLOW, WORKSPACE
from labelfactory.flows.lost_runs import LostRuns
from labelfactory.flows.running import note_path
from labelfactory.flows.server import (
    POOL,
    environment,
    healthy,
    port_taken,
    prefect,
    prepare_server,
    wait_until_healthy,
)
from labelfactory.flows.supervision import Child, Supervisor

ANSWER_TIMEOUT_S = 60.0  # of a server that is configured: it may be starting beside us
START_TIMEOUT_S = 180.0  # the first start creates the database


def devices() -> list[str]:
    """CUDA devices that a worker each may have; none on a machine without."""
    import torch

    return [str(index) for index in range(torch.cuda.device_count())]


def run(
    supervisor: Supervisor,
    tell: Callable[[str], Any],
    started: Callable[[str], Any],
    host: str,
    port: int,
    workspace: Path,
    allow: Sequence[str],
    workers: int | None,
    deployments: Path,
) -> None:
    """Returns never; KeyboardInterrupt ends it. The caller stops the supervisor whatever happens."""
    from prefect.settings import get_current_settings

    api_url = ensure_server(supervisor, tell, host, port)
    gpus = devices()
    count = workers or max(1, len(gpus))
    tell(f"work pool {POOL}: {count} run{'s' if count > 1 else ''} at a time; deploying {deployments}")
    prepare_server(api_url, deployments, count)
    started(api_url)
    prefixes = [entry if "://" in entry else str(Path(entry).absolute()) for entry in allow]
    permissions = {WORKSPACE: str(workspace.absolute()), ALLOW: " ".join([os.environ.get(ALLOW, ""), *prefixes])}
    for index in range(count):
        visible = {"CUDA_VISIBLE_DEVICES": gpus[index % len(gpus)]} if gpus else {}
        name = f"{socket.gethostname()}-{index}"
        command = prefect("worker", "start", "--pool", POOL, "--type", "process", "--name", name, "--limit", "1")
        supervisor.start(
            Child(f"worker {name}", command, environment(api_url, TQDM_DISABLE="1", **permissions, **visible))
        )
    LostRuns(note_path().with_name("labelfactory-runs.json"), tell).watch_forever(api_url)
    tell(f"UI: {api_url.removesuffix('/api')}")
    short = get_current_settings().plugins.enabled  # in a clone; elsewhere PREFECT_PLUGINS_ENABLED=true does it
    name = "generate-dataset" if short else "generate-dataset/generate-dataset"
    tell(f"runs write into {workspace.absolute()}; make a dataset: prefect deployment run {name}")
    while True:
        supervisor.watch()
        time.sleep(0.5)


def ensure_server(supervisor: Supervisor, tell: Callable[[str], Any], host: str, port: int) -> str:
    """The API's URL of a server that answers: the configured one, one that is there already, or ours."""
    from prefect.settings import PREFECT_API_URL

    configured = PREFECT_API_URL.value()
    if configured:
        deadline = time.monotonic() + ANSWER_TIMEOUT_S
        while time.monotonic() < deadline:
            if healthy(configured):
                tell(f"using the Prefect server at {configured}")
                return str(configured)
            time.sleep(0.5)
        raise InputError(f"PREFECT_API_URL is {configured}, but nothing answers there: start it, or unset the variable")
    own = f"http://{f'[{host}]' if ':' in host else host}:{port}/api"
    if healthy(own):
        tell(f"using the Prefect server that already answers at {own}")
        return own
    if port_taken(host, port):
        raise InputError(
            f"port {port} of {host} is taken by something that is no Prefect server: choose another --port"
        )
    log = note_path().with_name("labelfactory-server.log")
    log.parent.mkdir(parents=True, exist_ok=True)
    tell(f"starting a Prefect server at {own} (log: {log})")
    command = prefect("server", "start", "--host", host, "--port", str(port))
    server = Child("server", command, environment(own), log)
    supervisor.start(server)
    wait_until_healthy(own, lambda: server.exit_code() is None, START_TIMEOUT_S, str(log))
    return own
