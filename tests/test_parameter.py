"""A parameter's check: ranges, choices, forms; one line for whoever gave something else."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelfactory.errors import InputError
from labelfactory.factory.parameter import Parameter, Part, Wishes, check_fields, parameters, values_of
from labelfactory.factory.taking import take_order, try_output


@given(low=st.integers(-5, 5), high=st.integers(-5, 5), value=st.integers(-9, 9))
def test_ranges_hold_at_both_ends(low, high, value):
    about = Parameter("Number.", at_least=low, at_most=high)
    if low <= value <= high:
        about.check("it", value)
    else:
        with pytest.raises(InputError, match=f"it is {value}: expected {low} to {high}"):
            about.check("it", value)


@pytest.mark.parametrize("value", [0, -1.0, math.nan, math.inf])
def test_an_open_end_is_not_included_and_nothing_is_endless_unasked(value):
    with pytest.raises(InputError, match=r"it is .*: expected more than 0"):
        Parameter("Number.", more_than=0).check("it", value)
    Parameter("Number.", more_than=0, at_most=math.inf).check("it", math.inf)


def test_choices_come_from_a_tuple_from_what_is_said_of_them_or_from_a_table():
    said = Parameter("Way.", choices={"straight": "", "around": "longer"})
    assert said.told == "Way: straight or around (longer)."
    table = Parameter("Format.", choices="labelfactory.storage.exports.engine:FORMATS")
    assert table.told.startswith("Format: png, coco, ")
    for about in (said, table, Parameter("One.", choices=("a", "b"))):
        about.check("it", about.words[1])
        with pytest.raises(InputError, match=f"it 'no': expected one of {about.words[0]}, "):
            about.check("it", "no")
    with pytest.raises(InputError, match="'no'"):
        said.check("them", ["straight", "no"])


@dataclass(frozen=True)
class Oven:
    degrees: Annotated[float, Parameter("Temperature.", at_least=0, at_most=300)] = 180.0
    fan: Annotated[bool, Parameter("Fan.")] = False
    inside: str = "only from Python"

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class Taste:
    salt: Annotated[float, Parameter("Salt.", at_least=0)] = 1.0
    sugar: Annotated[float, Parameter("Sugar.", at_least=0)] = 1.0


@dataclass(frozen=True)
class Cake:
    out: Annotated[Path, Parameter("File of the cake.", place=True, writes="file")]
    layers: Annotated[tuple[str, ...], Parameter("Layers.", place=True)] = ()
    spelt: Annotated[str, Parameter("Flour.", choices=("wheat",), spellings={"corn": "wheat"})] = "wheat"
    options: Annotated[dict[str, Any], Parameter("More.", place_keys=("tin",))] = field(default_factory=dict)
    names: Annotated[dict[str, str], Parameter("Names.", form="THIS=THAT")] = field(default_factory=dict)
    oven: Oven = field(default_factory=lambda: Oven(fan=True))
    wishes: Annotated[dict[str, Any], Wishes(Taste, without=("sugar",))] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_fields(self)


def test_an_order_is_taken_from_plain_values(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    given = {"out": "~/cake", "layers": ["~/a", "s3://b/c"], "spelt": "corn", "degrees": 200}
    cake = take_order(Cake, given | {"options": ["tin=~/tin", "eggs=3", "how=round"], "names": ["a=b=c"]})
    assert cake.out == tmp_path / "cake"
    assert cake.layers == (f"{tmp_path}/a", "s3://b/c")
    assert cake.spelt == "wheat"
    assert cake.options == {"tin": tmp_path / "tin", "eggs": 3, "how": "round"}
    assert cake.names == {"a=b": "c"}
    assert cake.oven == Oven(200, fan=True)
    assert cake.wishes == {}
    assert take_order(Cake, {"out": "~/cake", "layers": None, "salt": 3}).wishes == {"salt": 3}
    for wrong, told in [
        ({"out": "s3://a/b"}, "out is s3://a/b: expected a path on this machine"),
        ({"out": ""}, "out is empty"),
        ({"degrees": 301}, "degrees is 301: expected 0 to 300"),
        ({"names": ["a"]}, "names 'a': expected THIS=THAT"),
        ({"options": ["=3"]}, "options '=3': expected NAME=VALUE"),
    ]:
        with pytest.raises(InputError, match=told):
            take_order(Cake, given | wrong)


@dataclass(frozen=True)
class Party:
    cake: Annotated[Cake, Part({"out": Path("cake"), "layers": ("a",)})]
    guests: Annotated[int, Parameter("Guests.", at_least=1)] = 3


def test_an_order_consists_of_others_some_of_whose_fields_are_fixed():
    assert list(parameters(Party)) == ["spelt", "options", "names", "degrees", "fan", "salt", "guests"]
    assert take_order(Party, {}).cake.out == Path("cake")
    party = take_order(Party, {"degrees": 99, "guests": 4})
    assert (party.cake.out, party.cake.layers, party.cake.oven) == (Path("cake"), ("a",), Oven(99, fan=True))
    assert values_of(party)["degrees"] == 99


def test_fields_of_one_name_are_a_mistake_of_ours():
    @dataclass(frozen=True)
    class Twice:
        fan: Annotated[bool, Parameter("Fan.")] = False
        oven: Oven = field(default_factory=Oven)

    with pytest.raises(TypeError, match="two parameters called fan"):
        parameters(Twice)


@pytest.mark.parametrize("kind", ["file", "folder", "new folder"])
def test_an_output_that_cannot_be_is_refused_and_nothing_is_left(kind, tmp_path):
    (tmp_path / "file").write_text("a stranger's")
    (tmp_path / "folder").mkdir()
    for place in (tmp_path / "file" / "out", "/proc/nowhere/out" if kind != "file" else "/proc/out"):
        with pytest.raises(InputError, match=r"cannot be written|does not exist"):
            try_output("out", str(place), kind)
    taken = tmp_path / {"file": "folder", "folder": "file", "new folder": "folder"}[kind]
    with pytest.raises(InputError, match=r"is a folder|is a file|exists already"):
        try_output("out", str(taken), kind)
    fine = tmp_path / "out" if kind == "file" else tmp_path / "not" / "yet" / "there"
    try_output("out", str(fine), kind)
    try_output("out", "s3://somewhere/else", kind)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]
