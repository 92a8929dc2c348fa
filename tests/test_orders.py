"""Every command and every flow: each field of its order is option, parameter, help, form and check, written once."""

import importlib
import inspect
import json
import pkgutil
import re
import typing
from dataclasses import MISSING
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_line import Factory
from prefect import Flow
from prefect.utilities.callables import parameter_schema

import labelfactory.flows
import labelfactory.flows.commands
from labelfactory.errors import InputError
from labelfactory.factory.parameter import parameters
from labelfactory.factory.taking import take_order
from labelfactory.flows.parameters import permitted_order

NAMES = [module.name for module in pkgutil.iter_modules(labelfactory.flows.commands.__path__)]
COMMANDS = {name: getattr(importlib.import_module(f"labelfactory.flows.commands.{name}"), name) for name in NAMES}
DEPLOYED = yaml.safe_load(Path(labelfactory.flows.__path__[0], "prefect.yaml").read_text())["deployments"]


def flow_of(deployment: dict[str, Any]) -> Flow:
    module, _, name = deployment["entrypoint"].rpartition(".")
    found = getattr(importlib.import_module(module), name)
    assert isinstance(found, Flow)
    return found


FLOWS = {deployment["name"]: flow_of(deployment) for deployment in DEPLOYED}
ORDERS = [*(command.takes for command in COMMANDS.values()), *(flow.fn.takes for flow in FLOWS.values())]
WORDS = {"classes", "map_values", "fill", "channel", "url_prefix", "axis_of", "options", "mapping", "config"}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_field_is_an_option_with_its_help(name: str, factory: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    command = COMMANDS[name]
    shown = "".join(factory(name.replace("_", "-"), "--help").out.split())  # lines are broken at hyphens too
    for field, entry in parameters(command.takes).items():
        option = entry.about.option or field.replace("_", "-")
        assert entry.about.positional or f"{'-' if len(option) == 1 else '--'}{option}" in shown, field
        assert "".join(entry.about.told.split()) in shown, field
        if entry.default in (None, "") and entry.about.default:
            assert f"[default:{''.join(entry.about.default.split())}]" in shown, field


@pytest.mark.parametrize("name", FLOWS)
def test_every_field_is_in_the_form_of_its_deployment(name: str) -> None:
    form = parameter_schema(FLOWS[name].fn).model_dump()
    json.dumps(form, allow_nan=False)
    for field, entry in parameters(FLOWS[name].fn.takes).items():
        shown = form["properties"][field]
        assert shown["description"].startswith(entry.about.told), field
        if entry.about.choices is not None:
            assert f'"enum": {json.dumps(list(entry.about.words))}' in json.dumps(shown), field
        if entry.about.at_least is not None:
            assert '"minimum": ' in json.dumps(shown), field
    given = {entry["name"]: entry.get("parameters", {}) for entry in DEPLOYED}[name]
    assert set(form["required"]) <= set(given), "a deployment starts as it is"


def test_a_flow_knows_every_option_of_its_command() -> None:
    for name, flow in FLOWS.items():
        for command in COMMANDS.values():
            if command.takes is flow.fn.takes:
                assert set(parameters(command.takes)) <= set(inspect.signature(flow.fn).parameters), name


def test_helps_begin_with_a_noun_and_are_sentences() -> None:
    for order in ORDERS:
        for field, entry in parameters(order).items():
            told = entry.about.told
            assert re.match(r"[A-Z0-9]", told), (field, told)
            assert not re.match(r"(Of|For|Also|Whether|Only|Where) ", told), (field, told)
            assert told.endswith("."), (field, told)
            assert "so many" not in told, (field, told)


def test_every_text_is_a_place_or_one_of_a_few_words() -> None:
    """A new field with a path that were no place could make a worker read what it may not."""
    for order in ORDERS:
        for field, entry in parameters(order).items():
            kinds = [entry.kind, *typing.get_args(entry.kind)]
            kinds += [inner for kind in kinds for inner in typing.get_args(kind)]
            about = entry.about
            known = about.place or about.pattern or about.choices is not None or field in WORDS
            assert known or not {str, Path} & {k for k in kinds if isinstance(k, type)}, (order.__name__, field)


@pytest.mark.parametrize("order", set(ORDERS), ids=lambda order: order.__name__)
def test_a_deployed_run_has_every_place_checked(order: type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABELFACTORY_WORKSPACE", str(tmp_path))
    monkeypatch.delenv("LABELFACTORY_ALLOW", raising=False)
    monkeypatch.setenv("PREFECT__RUNTIME__DEPLOYMENT__ID", "some")
    for field, entry in parameters(order).items():
        if entry.about.place:
            many = "tuple" in str(entry.kind)
            with pytest.raises(InputError, match=f"{field} is /elsewhere"):
                permitted_order(order, {field: ["/elsewhere"] if many else "/elsewhere"})


def test_a_value_that_cannot_be_is_refused_by_name() -> None:
    for order in ORDERS:
        for field, entry in parameters(order).items():
            wrong = None
            if entry.about.at_least is not None:
                wrong = entry.about.at_least - 1
            elif entry.about.more_than is not None:
                wrong = entry.about.more_than
            elif entry.about.choices is not None:
                wrong = "no such word"
            if wrong is not None:
                with pytest.raises(InputError, match=f"^{field} "):
                    entry.about.check(field, wrong)
        for entry in parameters(order).values():
            if entry.default is not MISSING:
                entry.about.check("default", entry.default)


def least(order: type) -> dict[str, Any]:
    """A value for everything that an order cannot do without."""
    given: dict[str, Any] = {}
    for name, entry in parameters(order).items():
        about, many = entry.about, "tuple" in str(entry.kind)
        if entry.default is MISSING:
            value = about.words[0] if about.choices else 16 if entry.kind is int else "builtin:nuclei64"
            given[name] = [value] if many else value
    return given


MODEL = {"generator": "builtin:nuclei64", "labels": "builtin:nuclei64"}  # where one of two has to be named
WRITTEN = [(o, name) for o in dict.fromkeys(ORDERS) for name, e in parameters(o).items() if e.about.writes]


@pytest.mark.parametrize(("order", "name"), WRITTEN, ids=[f"{o.__name__}-{name}" for o, name in WRITTEN])
def test_an_output_is_tried_before_the_work(order: type, name: str) -> None:
    """Whatever a command writes: a place where nothing can be written is refused when the order is taken."""
    chosen = {
        "InterpreterOrder": MODEL,
        "QualityOrder": {"generator": [MODEL["generator"]]},
        "PredictionOrder": {"segmenter": "a.safetensors"},
        "RestorerOrder": {"degrade": "sparse"},
        "RestyleOrder": {"style": "a", "model": "b.safetensors"},
    }
    given = least(order) | chosen.get(order.__name__, {})
    for place in ("/proc/nowhere/out", "/proc/version/out"):
        with pytest.raises(InputError, match=r"cannot be written|does not exist"):
            take_order(order, given | {name: place})


def test_every_command_that_writes_says_so_of_its_output() -> None:
    """An output without ``writes`` would be found unwritable after the work."""
    for order in ORDERS:
        for name, entry in parameters(order).items():
            if name in ("out", "report", "html", "preview", "record", "json"):
                assert entry.about.writes, (order.__name__, name)
