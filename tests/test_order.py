"""An order refuses what cannot be; its fields are the parameters of command, plan and flow."""

import inspect
import typing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelfactory.errors import InputError
from labelfactory.factory.parameter import Parameter, parameters
from labelfactory.factory.production.order import MAX_SEED, Order
from labelfactory.flows.access import Access
from labelfactory.flows.commands.generate import generate
from labelfactory.flows.commands.plan import plan
from labelfactory.flows.generate_dataset import generate_dataset
from labelfactory.flows.parameters import permitted_order

GIVEN = {"generator": "g.pkl", "out": "o.zarr", "count": 5, "labels": "labels"}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"count": 0}, "count is 0: expected 1 or more"),
        ({"seed": -1}, f"seed is -1: expected 0 to {MAX_SEED}"),
        ({"seed": MAX_SEED + 1}, "seed is 18446744073709551616"),
        ({"truncation": 2.5}, "truncation is 2.5: expected 0 to 2"),
        ({"truncation": float("nan")}, "truncation is nan"),
        ({"shard_size": 0}, "shard_size is 0: expected 1 or more"),
        ({"device": "gpu"}, "device is gpu: expected auto, cpu, cuda or cuda:N"),
        ({"out": ""}, "out is empty: expected a path or URL"),
        ({"keypoints": ""}, "keypoints is empty"),
        ({"labels": None}, "either an interpreter file or a label set"),
        ({"interpreter": "i.safetensors"}, "either an interpreter file or a label set"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(change, told):
    with pytest.raises(InputError, match=told):
        Order(**(GIVEN | change))


def test_a_bundled_generator_brings_its_labels():
    assert Order("builtin:nuclei64", "o.zarr", 5).labels == "builtin:nuclei64"
    assert Order("builtin:nuclei64", "o.zarr", 5, interpreter="i.safetensors").labels is None


@given(low=st.integers(-5, 5), high=st.integers(-5, 5), value=st.integers(-9, 9))
def test_ranges_hold_at_both_ends(low, high, value):
    about = Parameter("a number", at_least=low, at_most=high)
    if low <= value <= high:
        about.check("it", value)
    else:
        with pytest.raises(InputError, match=f"it is {value}: expected {low} to {high}"):
            about.check("it", value)


def test_every_field_is_a_parameter_of_command_plan_and_flow():
    names = list(parameters(Order))
    assert set(inspect.signature(Order).parameters) - set(names) == {"storage_options"}
    assert list(inspect.signature(generate).parameters) == names
    assert set(names) - set(inspect.signature(plan).parameters) == {"out", "seed"}
    flow = inspect.signature(generate_dataset.fn).parameters
    assert list(flow) == [*names, "execution"]
    assert [name for name in names if flow[name].default is inspect.Parameter.empty] == []  # a bare run works


def test_every_text_is_a_place_or_one_of_a_few_words():
    """A new field with a path that were no place could make a worker read what it may not."""
    fields = parameters(Order).items()
    texts = {name: about for name, (kind, _, about) in fields if str in (kind, *typing.get_args(kind))}
    assert {"generator", "out", "interpreter", "labels", "keypoints"} <= set(texts)
    assert [name for name, about in texts.items() if not (about.place or about.pattern)] == []


def test_a_deployed_run_has_every_place_checked(tmp_path, monkeypatch):
    monkeypatch.setenv("LABELFACTORY_WORKSPACE", str(tmp_path))
    monkeypatch.delenv("LABELFACTORY_ALLOW", raising=False)
    monkeypatch.setenv("PREFECT__RUNTIME__DEPLOYMENT__ID", "some")
    places = [name for name, (_, _, about) in parameters(Order).items() if about.place]
    for name in places:
        with pytest.raises(InputError, match=f"{name} is /elsewhere"):
            permitted_order({name: "/elsewhere"})
    inside = permitted_order({"out": "a.zarr", "labels": None, "count": 3})
    assert inside == {"out": Access(tmp_path).resolve("out", "a.zarr"), "labels": None, "count": 3}
