"""Zips of strangers: macOS' additions are left out, and what could do harm is refused in a line that names the zip."""

import stat
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelfactory.errors import InputError
from labelfactory.interpreters.formats import unpacking
from labelfactory.interpreters.formats.source import opened
from labelfactory.interpreters.formats.unpacking import unpack


def link(archive: zipfile.ZipFile) -> None:
    info = zipfile.ZipInfo("a.png")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    archive.writestr(info, "/etc/passwd")


def twice(archive: zipfile.ZipFile) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        archive.writestr("a.png", "1")
        archive.writestr("a.png", "2")


@pytest.mark.parametrize(
    ("fill", "message"),
    [
        (lambda z: z.writestr("../../a.png", ""), r"has the path '../../a.png' in it, which leads elsewhere"),
        (lambda z: z.writestr("/etc/a.png", ""), "leads elsewhere"),
        (lambda z: z.writestr("C:/a.png", ""), "leads elsewhere"),
        (lambda z: z.writestr("a\\..\\..\\b.png", ""), "leads elsewhere"),
        (link, "'a.png' is a link"),
        (twice, "has 2 files called 'a.png'"),
        (lambda z: z.writestr("x" * 300 + ".png", ""), r"cannot be unpacked \(.*name too long"),
        (lambda z: [z.writestr("a", ""), z.writestr("a/b.png", "")], "cannot be unpacked"),
    ],
)
def test_what_could_do_harm(tmp_path: Path, fill: Callable[[zipfile.ZipFile], object], message: str) -> None:
    given = tmp_path / "labels.zip"
    with zipfile.ZipFile(given, "w") as archive:
        fill(archive)
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError, match=message) as caught:
        unpack(given, tmp_path / "out")
    assert str(caught.value).startswith(f"{given}: ")
    assert str(tmp_path / "out") not in str(caught.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["labels.zip", "out"]


def test_bombs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sizes are those that the archive states; more than it states is never written."""
    given = tmp_path / "bomb.zip"
    with zipfile.ZipFile(given, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", bytes(1 << 20))
    monkeypatch.setattr(unpacking, "MAX_UNPACKED", 1 << 19)
    with pytest.raises(InputError, match="unpacks to more than"):
        unpack(given, tmp_path)
    data = bytearray(given.read_bytes())
    for signature, at in ((b"PK\3\4", 22), (b"PK\1\2", 24)):  # the sizes in both headers say 9 bytes
        struct.pack_into("<I", data, data.index(signature) + at, 9)
    given.write_bytes(data)
    with pytest.raises(InputError, match="cannot be unpacked"):
        unpack(given, tmp_path)
    assert not (tmp_path / "a.png").exists() or (tmp_path / "a.png").stat().st_size <= 9
    monkeypatch.setattr(unpacking, "MAX_FILES", 1)
    with zipfile.ZipFile(given, "w") as archive:
        archive.writestr("a.png", "")
        archive.writestr("b.png", "")
    with pytest.raises(InputError, match="has 2 files"):
        unpack(given, tmp_path)


def test_names_that_macos_wrote_in_utf_8_without_saying_so(tmp_path: Path) -> None:
    given = tmp_path / "labels.zip"
    with zipfile.ZipFile(given, "w") as archive:
        archive.writestr("Zähler.png", "1")
        archive.writestr("__MACOSX/._Zähler.png", "")
        archive.writestr(".DS_Store", "")
    data = bytearray(given.read_bytes())
    for signature, at in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        start = 0
        while (start := data.find(signature, start)) >= 0:
            data[start + at + 1] &= 0xF7  # the flag "this name is UTF-8"
            start += 4
    given.write_bytes(data)
    with opened(given) as source:
        assert [p.name for p in source.files(".png")] == ["Zähler.png"]
        assert [p.name for p in source.path.iterdir()] == ["Zähler.png"]


@given(data=st.binary(max_size=300))
def test_anything_called_zip(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    folder = tmp_path_factory.mktemp("zip")
    (folder / "a.zip").write_bytes(b"PK\3\4" + data)
    with pytest.raises(InputError, match="cannot be unpacked"):
        unpack(folder / "a.zip", folder)
