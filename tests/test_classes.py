"""Classes' colours: all different, the background's nobody else's, eight that everyone tells apart."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelfactory.interpreters.classes import LabelClass, check_classes, cielab, name_classes, new_colors, palette
from labelfactory.palette import IGNORE_COLOR, OKABE_ITO


def test_as_many_colours_as_there_can_be_classes() -> None:
    colors = new_colors(255)
    assert len({*colors, IGNORE_COLOR}) == 256
    assert colors[:8] == OKABE_ITO
    assert colors[0] == (0, 0, 0)
    for count in (1, 8, 9, 20, 254):
        assert new_colors(count) == colors[:count]  # another class does not change those before it


@pytest.mark.parametrize(("count", "apart"), [(8, 20), (32, 20), (64, 20), (255, 12)])
def test_colours_stay_apart(count: int, apart: float) -> None:
    """Least distance in CIELAB (2.3 is just noticeable) of any two, and of any to "not labelled"."""
    colors = cielab(np.array([*new_colors(count), IGNORE_COLOR]))
    assert min(np.linalg.norm(a - b) for a, b in combinations(colors, 2)) > apart


# What people without one kind of cones see (Machado, Oliveira and Fernandes 2009, severity 1), on linear light.
CONFUSED = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}


@pytest.mark.parametrize("kind", CONFUSED)
def test_the_first_eight_differ_for_who_sees_colours_poorly(kind: str) -> None:
    linear = (np.array(new_colors(8)) / 255) ** 2.2
    seen = np.clip(linear @ np.array(CONFUSED[kind]).T, 0, 1) ** (1 / 2.2) * 255
    assert min(np.linalg.norm(a - b) for a, b in combinations(seen, 2)) > 30


@given(st.lists(st.tuples(*[st.integers(0, 255)] * 3), min_size=1, max_size=60), st.integers(1, 100))
def test_further_colours_are_new(taken: list[tuple[int, int, int]], count: int) -> None:
    found = new_colors(count, taken)
    assert len(set(found)) == count
    assert not {*found} & {*taken, (0, 0, 0), IGNORE_COLOR}


def test_named_classes_and_their_palette() -> None:
    classes = name_classes(f"class {i}" for i in range(255))
    check_classes(classes)
    table = palette(classes)
    assert len({tuple(row) for row in table.tolist()}) == 256
    assert tuple(table[255]) == IGNORE_COLOR
    assert name_classes(["sky"]) == (LabelClass("sky", (0, 0, 0)),)
    assert name_classes([]) == ()
