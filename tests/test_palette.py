"""Colours of classes and of numbers."""

import numpy as np

from labelfactory.palette import HEAT, IGNORE_COLOR, OKABE_ITO, color_table, heat, laid_over


def test_every_value_has_a_colour_and_no_class_is_grey() -> None:
    table = color_table(OKABE_ITO)
    assert tuple(table[7]) == OKABE_ITO[7]
    assert (table[8:] == IGNORE_COLOR).all()
    assert (color_table((), (1, 2, 3)) == (1, 2, 3)).all()


def test_heat_is_even_and_ends_at_its_ends() -> None:
    shown = heat(np.array([[-9.0, 0.0, 0.2, 1.0, 9.0, np.nan]]), 0.0, 1.0, unknown=IGNORE_COLOR)[0].tolist()
    assert shown == [list(HEAT[i]) for i in (0, 0, 1, 5, 5)] + [list(IGNORE_COLOR)]
    assert heat(np.zeros((2, 2), np.float16), 3.0, 3.0).tolist() == [[list(HEAT[0])] * 2] * 2  # no range, no division


def test_colours_lie_over_grey_and_rgb_alike() -> None:
    colors = np.broadcast_to(np.uint8([200, 0, 100]), (1, 3, 3))
    strength = np.array([[0.0, 0.5, 1.0]])
    expected = [[[100, 100, 100], [150, 50, 100], [200, 0, 100]]]
    for channels in (1, 3):
        assert laid_over(np.full((1, 3, channels), 100, np.uint8), colors, strength).tolist() == expected
