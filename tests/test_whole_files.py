"""Files and folders appear whole or not at all, whatever happens while they are written."""

import errno
import os
import threading
from pathlib import Path

import pytest

from labelfactory.errors import InputError, WorkError
from labelfactory.whole_files import whole_file, whole_folder, whole_path


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def test_a_file_takes_its_place_when_it_is_complete(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    with whole_file(target) as file:
        file.write(b"new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    with whole_path(target) as temporary:
        temporary.write_text("by name")
    assert target.read_text() == "by name"
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("no"), OSError(errno.ENOSPC, "No space left")])
def test_an_interruption_leaves_the_old_file_and_nothing_else(tmp_path: Path, error: BaseException) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    told = WorkError if isinstance(error, OSError) else type(error)

    def write_half() -> None:
        with whole_file(target) as file:
            file.write(b"half")
            raise error

    def make_half() -> None:
        with whole_folder(tmp_path / "set") as fresh:
            (fresh / "set.json").write_text("half")
            raise error

    with pytest.raises(told):
        write_half()
    assert target.read_text() == "old"
    with pytest.raises(told):
        make_half()
    assert names(tmp_path) == ["a.txt"]


def test_two_writers_of_one_file_do_not_mix(tmp_path: Path) -> None:
    target, parts = tmp_path / "a", [b"a" * 100_000, b"b" * 100_000]
    barrier = threading.Barrier(2)

    def write(part: bytes) -> None:
        with whole_file(target, durable=False) as file:
            barrier.wait()
            file.write(part)

    threads = [threading.Thread(target=write, args=(part,)) for part in parts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert target.read_bytes() in parts
    assert names(tmp_path) == ["a"]


def test_names_as_long_as_names_may_be(tmp_path: Path) -> None:
    name = "ä" * 127
    with whole_file(tmp_path / name) as file:
        file.write(b"x")
    with whole_folder(tmp_path / f"{name}d") as fresh:
        (fresh / "x").write_text("x")
    assert names(tmp_path) == [name, f"{name}d"]


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="folder does not exist"), whole_file(tmp_path / "no" / "a"):
        pass
    (tmp_path / "a").write_text("a file")
    says = r"a/b/c: cannot be written \(Not a directory\)"
    with pytest.raises(InputError, match=says), whole_folder(tmp_path / "a" / "b" / "c"):
        pass
    (tmp_path / "folder").mkdir()
    says = r"folder: cannot be written \(Is a directory\)"
    with pytest.raises(InputError, match=says), whole_file(tmp_path / "folder"):
        pass
    assert names(tmp_path) == ["a", "folder"]


def test_what_the_disk_says_of_other_files_is_passed_on(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="elsewhere"), whole_file(tmp_path / "a"):
        (tmp_path / "elsewhere").read_bytes()


def test_a_folder_is_new_or_was_empty(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    with whole_folder(folder) as fresh:
        (fresh / "set.json").write_text("1")
        assert not folder.exists()
    with pytest.raises(InputError, match="exists already"), whole_folder(folder):
        pass
    assert (folder / "set.json").read_text() == "1"
    (tmp_path / "empty").mkdir()
    with whole_folder(tmp_path / "empty") as fresh:
        (fresh / "a").write_text("2")
    assert (tmp_path / "empty" / "a").read_text() == "2"
    assert names(tmp_path / "empty") == ["a"]
    assert names(tmp_path) == ["empty", "set"]


def test_links_are_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "real" / "a")
    with whole_file(tmp_path / "link") as file:
        file.write(b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "a").read_text() == "new"
    assert names(tmp_path / "real") == ["a"]


def test_a_pipe_is_written_to(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    with whole_file(tmp_path / "pipe") as file:
        file.write(b"x")
    assert os.read(reader, 10) == b"x"
    os.close(reader)
