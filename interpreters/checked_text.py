"""Reading text, YAML and XML that people and tools wrote: checked where it enters, each complaint names its place."""

import csv
import io
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labelfactory.errors import InputError

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

MAX_BYTES = 1 << 29  # no tool writes a larger text of labels; a parsed XML takes ten times its size
_COMMENTS = re.compile(rb"<!--.*?-->", re.DOTALL)
_ROOT = re.compile(rb"<([A-Za-z_][\w.-]*)")


def read_bytes(path: Path) -> bytes:
    """What the file holds. InputError where it cannot be read or is larger than ``MAX_BYTES``."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"{path}: is larger than {MAX_BYTES >> 20} MiB; split it")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None


def read_text(path: Path) -> str:
    """The file's text, UTF-8 with or without a byte order mark. InputError for anything else."""
    try:
        return read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path}: is not UTF-8 text") from None


def read_rows(path: Path) -> list[list[str]]:
    """The cells of a CSV file, line by line. InputError where it is none."""
    try:
        return list(csv.reader(io.StringIO(read_text(path))))
    except csv.Error as error:
        raise InputError(f"{path}: is not a readable table ({error})") from None


def read_yaml(path: Path) -> Any:
    """The parsed file, plain data alone. Tags that make objects and aliases, which multiply, are InputErrors."""
    import yaml

    class Plain(yaml.SafeLoader):
        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                raise yaml.YAMLError("aliases are not expected in it")
            return super().compose_node(parent, index)

    try:
        return yaml.load(read_text(path), Loader=Plain)  # noqa: S506: a safe loader's kind
    except (yaml.YAMLError, ValueError) as error:  # ValueError: numbers and dates that are none
        raise InputError(f"{path}: is not valid YAML ({' '.join(str(error).split())[:120]})") from None
    except RecursionError:
        raise InputError(f"{path}: is not usable YAML (nested too deeply)") from None


def read_xml(path: Path) -> "Element":
    """The root element. Document types and entities are refused: label files have none, attacks do."""
    from xml.etree.ElementTree import ParseError

    import defusedxml.ElementTree
    from defusedxml import DefusedXmlException

    data = read_bytes(path)
    try:
        root: Element = defusedxml.ElementTree.fromstring(data, forbid_dtd=True)
    except ParseError as error:
        raise InputError(f"{path}: is not valid XML ({error})") from None
    except DefusedXmlException:
        raise InputError(f"{path}: has a document type or entities in it, which label files have not") from None
    except (LookupError, ValueError) as error:  # an encoding that Python does not know
        raise InputError(f"{path}: is not readable XML ({error})") from None
    return root


def root_tag(path: Path) -> str | None:
    """Name of an XML file's root element by a look at its beginning, None where it has none."""
    try:
        with path.open("rb") as file:
            start = file.read(1 << 16)
    except OSError:
        return None
    found = _ROOT.search(_COMMENTS.sub(b"", start))
    return found.group(1).decode("ascii", "replace") if found else None


def attribute(element: "Element", name: str, where: str, default: str | None = None) -> str:
    """An XML attribute's text. InputError where it is missing and has no default."""
    value = element.get(name, default)
    if value is None:
        raise InputError(f'{where}: "{name}" is missing')
    return value


def child_text(element: "Element", path: str, where: str) -> str:
    """The text of the child element at ``path``. InputError where there is none."""
    text = element.findtext(path)
    if text is None or not text.strip():
        raise InputError(f"{where}: <{path}> is missing")
    return text.strip()


def number(text: str, where: str) -> float:
    """A finite number from text."""
    try:
        value = float(text)
    except ValueError:
        raise InputError(f"{where}: {text.strip()[:40]!r} is not a number") from None
    if not math.isfinite(value) or abs(value) > 1e300:
        raise InputError(f"{where}: {text.strip()[:40]!r} is not a finite number")
    return value


def whole(text: str, where: str) -> int:
    """A whole number from text, also where it is written like ``3.0``."""
    value = number(text, where)
    if value != int(value) or abs(value) > 2**53:
        raise InputError(f"{where}: {text.strip()[:40]!r} is not a whole number")
    return int(value)
