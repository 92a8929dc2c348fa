"""Which failures are worth another try, and what a failed run says."""

import json
import logging
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pydantic_core import to_jsonable_python

from labelfactory.errors import InputError, Interrupted, WorkError

PASSING = (WorkError, OSError)  # OSError: connections and timeouts are its kinds
BACKOFF_S = (2, 8, 30, 120)  # before each further try; the last one repeats


class StoppedError(Interrupted):
    """The run was cancelled while a shard was being made."""


class OneLine(logging.Filter):
    """Hundreds of tasks say nothing each unless something is wrong. Expected failures go to the log as the line that
    they are; a traceback is for our own mistakes.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name == "prefect.task_runs" and record.levelno < logging.WARNING:
            return False
        if record.exc_info and isinstance(record.exc_info[1], (InputError, *PASSING)):
            record.exc_info = record.exc_text = None
        return True


for _name in ("prefect.flow_runs", "prefect.task_runs"):
    logging.getLogger(_name).addFilter(OneLine())


def is_passing(error: BaseException) -> bool:
    """True for what a disk, a network or a server did: it may be well a moment later. Wrong input never is."""
    return isinstance(error, PASSING) and not isinstance(error, (InputError, Interrupted))


def retries(count: int = 3) -> dict[str, Any]:
    """A task's options: ``count`` further tries, with pauses that grow and are not in step between workers."""
    pauses = [BACKOFF_S[min(i, len(BACKOFF_S) - 1)] for i in range(count)]
    return {"retries": count, "retry_delay_seconds": pauses or 0, "retry_jitter_factor": 0.5}


def worth_retrying(task: Any, run: Any, state: Any) -> bool:
    """Prefect's ``retry_condition_fn``."""
    try:
        state.result()
    except BaseException as error:
        return is_passing(error) or type(error).__name__ in ("TaskRunTimeoutError", "ConnectError")
    return False


def resume_command(deployment: str | None, flow: str, parameters: Mapping[str, Any]) -> str:
    """The command that goes on where this run stopped."""
    if deployment is None:
        return "run the same command again"
    text = shlex.quote(json.dumps(to_jsonable_python(dict(parameters)), separators=(",", ":")))
    return f"prefect deployment run {flow}/{deployment} --params {text}"


@contextmanager
def explained(flow: str, parameters: Mapping[str, Any]) -> Iterator[None]:
    """Adds to a passing failure the command that resumes; wrong input and our own mistakes go on as they are."""
    from prefect import runtime

    try:
        yield
    except Exception as error:
        if isinstance(error, InputError):
            raise
        cause = " ".join(str(error).split()) or type(error).__name__
        if not is_passing(error):
            cause = f"{type(error).__name__}: {cause}"
        name = runtime.deployment.name if runtime.deployment.id else None
        raise WorkError(
            f"{cause}. What is committed stays; to resume: {resume_command(name, flow, parameters)}"
        ) from error
