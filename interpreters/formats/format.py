"""The contract of a label format: what it is called, how it is recognised, how it is read.

To add a format: a module in this folder with a subclass of ``Format``; a line in ``table.FORMATS``; an example of its
files in tests/format_examples.py, with which the contract's tests (tests/test_formats_contract.py) run; a line in
docs/labels.md. Import, ``auto``, help texts and error messages follow the table.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import ClassVar

from labelfactory.interpreters.formats.drawing import Drawing
from labelfactory.interpreters.formats.source import Source
from labelfactory.interpreters.labelset import LabelSet


class Format(ABC):
    """One way in which people's tools store labels. Objects hold no state: the table makes one when it is asked for.

    Attributes:
        title: the format in a person's words, for messages, like "COCO's JSON".
        fallback: asked by ``auto`` only where no other format recognises the source (a mere folder of pictures).
    """

    title: ClassVar[str]
    fallback: ClassVar[bool] = False

    @abstractmethod
    def recognises(self, source: Source) -> str | None:
        """Why ``source`` is of this format, in some words ("has labelmap.txt"); None where it is not.

        A source that two formats recognise is refused with both reasons: look for what only this format has.
        Files are looked at through ``source.peek`` and ``source.files``, which never raise.
        """

    @abstractmethod
    def read(self, source: Source, labels: LabelSet, mapping: Mapping[str, str]) -> Iterable[Drawing]:
        """All drawings of ``source``, one an image, whole and checked.

        Arguments:
            source: its files come from ``source.files`` (without hidden files, suffixes in any case).
            labels: what the drawings are read into, for class names and colours and the sizes of images. The match of
                drawing and sample, the mapping of labels to classes and the drawing of shapes are the importer's.
            mapping: what the person says with ``--map``, for formats in which a label can be read in two ways.

        What is left out or guessed is said in ``Drawing.notes``. Labels are the source's own words;
        ``drawing.IGNORE_LABEL`` stands for "not labelled", ``drawing.BACKGROUND_LABEL`` for the first class.

        Raises:
            InputError: file, place, what was found, what was expected.
        """
