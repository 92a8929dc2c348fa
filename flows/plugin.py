"""Prefect's start-up hook: ``prefect deployment run generate-dataset`` works as typed.

The stock command line wants FLOW/DEPLOYMENT. Every deployment of ours is named like its flow, so the short name is
completed. Where no API is configured and ``factory up`` runs on this machine, its server is the one that is meant.
Enabled by ``[tool.prefect.plugins]`` in pyproject.toml, or PREFECT_PLUGINS_ENABLED=true elsewhere.
"""

import os
import sys
from pathlib import Path

from prefect.plugins import HookContext, SetupResult, register_hook

from labelfactory.flows.running import OWN, running_api_url

COMMANDS = ("run", "inspect", "delete", "pause", "resume", "clear", "ls")
FLAGS = ("--watch", "--all")  # options without a value


def deployments() -> list[str]:
    """Names of the package's own deployments; each is called like its flow."""
    import yaml

    return [entry["name"] for entry in yaml.safe_load(OWN.read_text(encoding="utf-8"))["deployments"]]


def completed(arguments: list[str]) -> list[str]:
    """``deployment ... generate-dataset`` becomes ``deployment ... generate-dataset/generate-dataset``.

    Only the deployment's name itself is touched, never the value of an option.
    """
    result = list(arguments)
    if "deployment" not in result or not set(COMMANDS) & set(result):
        return result
    names = deployments()
    i = result.index("deployment") + 1
    while i < len(result):
        word = result[i]
        if word in names:
            result[i] = f"{word}/{word}"
            break
        takes_value = word.startswith("-") and "=" not in word and word not in FLAGS
        i += 2 if takes_value else 1
    return result


@register_hook
def setup_environment(*, ctx: HookContext) -> SetupResult | None:
    if Path(sys.argv[0]).name in ("prefect", "-m"):  # "-m" while Python looks for prefect.__main__
        sys.argv[1:] = completed(sys.argv[1:])
    if ctx.api_url is None and "PREFECT_API_URL" not in os.environ and (url := running_api_url()):
        return SetupResult(env={"PREFECT_API_URL": url}, note="the server of `factory up`")
    return None
