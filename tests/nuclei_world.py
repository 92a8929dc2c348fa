"""The classes of the bundled nuclei64 generator's label set, for tests of label sets and their formats."""

from labelfactory.interpreters.classes import OKABE_ITO, LabelClass

NUCLEI_CLASSES = (
    LabelClass("background", OKABE_ITO[0], thing=False),
    LabelClass("nucleus", OKABE_ITO[1], thing=True),
    LabelClass("neighbour", OKABE_ITO[2], thing=True),
)
