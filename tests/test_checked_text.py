"""Text, YAML, CSV and XML from outside: read where they are well, one line where they are not."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelfactory.errors import InputError
from labelfactory.interpreters import checked_text
from labelfactory.interpreters.checked_text import (
    attribute,
    child_text,
    number,
    read_rows,
    read_text,
    read_xml,
    read_yaml,
    root_tag,
    whole,
)


def test_text_with_and_without_a_mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbfZ\xc3\xa4hler\r\n")
    assert read_text(path) == "Zähler\r\n"
    path.write_bytes(b"Z\xe4hler")
    with pytest.raises(InputError, match="is not UTF-8 text"):
        read_text(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_text(tmp_path / "nowhere.txt")
    monkeypatch.setattr(checked_text, "MAX_BYTES", 3)
    with pytest.raises(InputError, match="is larger than"):
        read_text(path)


def test_numbers() -> None:
    assert (number(" 1.5 ", "x"), whole("3", "x"), whole("3.0", "x"), whole("-2", "x")) == (1.5, 3, 3, -2)
    for text in ("", "x", "1,5", "0x10"):
        with pytest.raises(InputError, match=r"^here: .* is not a number"):
            number(text, "here")
    for text in ("nan", "inf", "-inf", "1e400"):
        with pytest.raises(InputError, match="is not a finite number"):
            number(text, "here")
    for text in ("1.5", "1e17"):
        with pytest.raises(InputError, match="is not a whole number"):
            whole(text, "here")


def test_yaml_is_plain_data(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("names: {0: a, 1: b}\n")
    assert read_yaml(path) == {"names": {0: "a", 1: "b"}}
    for text in ("a: [", "!!python/name:os.system", "a: &x 1\nb: *x", "a: 2026-99-99", "{" * 5000):
        path.write_text(text)
        with pytest.raises(InputError, match=r"a\.yaml: is not (valid|usable) YAML") as caught:
            read_yaml(path)
        assert "\n" not in str(caught.value)


def test_tables(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('a,"b,c"\n\n1,2\n')
    assert read_rows(path) == [["a", "b,c"], [], ["1", "2"]]
    path.write_text("x" * 200_000)
    with pytest.raises(InputError, match="is not a readable table"):
        read_rows(path)


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        ("<annotations/>", "annotations"),
        ("\ufeff<?xml version='1.0'?>\n<!-- <other> -->\n<annotation a='1'>", "annotation"),
        ("<!DOCTYPE a [<!ENTITY b 'c'>]><a/>", "a"),
        ("hello", None),
        ("", None),
    ],
)
def test_the_root_is_told_from_the_beginning(tmp_path: Path, text: str, tag: str | None) -> None:
    path = tmp_path / "a.xml"
    path.write_text(text, encoding="utf-8")
    assert root_tag(path) == tag
    assert root_tag(tmp_path / "nowhere.xml") is None


def test_xml(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_text("<a b='1'><c> x </c><d/></a>")
    root = read_xml(path)
    assert (attribute(root, "b", "here"), attribute(root, "e", "here", "2")) == ("1", "2")
    assert child_text(root, "c", "here") == "x"
    with pytest.raises(InputError, match='here: "e" is missing'):
        attribute(root, "e", "here")
    for missing in ("d", "e"):
        with pytest.raises(InputError, match=f"here: <{missing}> is missing"):
            child_text(root, missing, "here")


@given(data=st.binary(max_size=200))
def test_any_bytes(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("t") / "a"
    path.write_bytes(b"<a>" + data)
    for read in (read_text, read_yaml, read_xml, read_rows):
        try:
            read(path)
        except InputError as error:
            assert "\n" not in str(error)  # noqa: PT017
