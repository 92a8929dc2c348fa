"""Folders of the factory among other people's files: what is there stays, a kill leaves the old or the new."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from nuclei_world import NUCLEI_CLASSES
from PIL import Image

from labelfactory.errors import InputError, WorkError
from labelfactory.interpreters import folders
from labelfactory.interpreters.folders import updated_folder
from labelfactory.interpreters.labelset import LabelSet, Sample
from labelfactory.whole_files import whole_folder


def label_set(value: int, names: tuple[str, ...] = ("a", "b")) -> LabelSet:
    samples = [
        Sample(n, np.zeros((4, 5, 1), np.uint8), np.full((4, 5), value, np.uint8), i) for i, n in enumerate(names)
    ]
    return LabelSet(NUCLEI_CLASSES, tuple(samples), "g", "ab" * 32)


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A label set in which somebody works: notes, version control, drawings, files beside ours in every folder."""
    home = tmp_path / "labels"
    label_set(0).save(home)
    for name in ("notes.txt", ".git/HEAD", "work/a.json", "images/raw.tif", "masks/.a.png.swp", "preview.png"):
        (home / name).parent.mkdir(exist_ok=True)
        (home / name).write_text(f"my {name}")
    return home


def test_saving_touches_only_its_own_files(home: Path) -> None:
    before = contents(home)
    own = {"labelset.json", "images/a.png", "images/b.png", "masks/a.png", "masks/b.png"}
    label_set(1).save(home, overwrite=True)
    after = contents(home)
    assert {n: c for n, c in after.items() if n not in own} == {n: c for n, c in before.items() if n not in own}
    assert LabelSet.load(home).samples[0].mask.max() == 1
    label_set(2, ("b", "c")).save(home, overwrite=True)  # a is the set's own and goes, with it
    after = contents(home)
    assert {n for n in after if n.startswith(("images/", "masks/"))} == {
        "images/b.png", "images/c.png", "images/raw.tif", "masks/.a.png.swp", "masks/b.png", "masks/c.png",
    }  # fmt: skip
    assert not (home / "latents").exists()


def test_a_file_that_is_not_the_sets_is_in_the_way(home: Path) -> None:
    Image.fromarray(np.full((9, 9), 3, np.uint8)).save(home / "masks" / "c.png")
    before = contents(home)
    with pytest.raises(InputError, match=r"masks/c\.png: exists and is none of the label set's files"):
        label_set(1, ("a", "b", "c")).save(home, overwrite=True)
    assert contents(home) == before


def test_a_picture_that_shows_the_same_is_left_as_it_is(home: Path) -> None:
    Image.fromarray(np.zeros((4, 5), np.uint8)).save(home / "images" / "a.png", compress_level=0)
    picture = (home / "images" / "a.png").read_bytes()
    label_set(1).save(home, overwrite=True)
    assert (home / "images" / "a.png").read_bytes() == picture


def test_links_are_written_through(tmp_path: Path, home: Path) -> None:
    """The set, a folder in it and a file in it lie elsewhere (on another disk, say)."""
    disk = tmp_path / "disk"
    disk.mkdir()
    (home / "masks").rename(disk / "masks")
    (home / "masks").symlink_to(disk / "masks")
    (home / "labelset.json").rename(disk / "index.json")
    (home / "labelset.json").symlink_to(disk / "index.json")
    link = tmp_path / "link"
    link.symlink_to(home)
    inode = home.stat().st_ino
    label_set(1).save(link, overwrite=True)
    assert link.is_symlink()
    assert (home / "masks").is_symlink()
    assert (home / "labelset.json").is_symlink()
    assert home.stat().st_ino == inode
    assert sorted(p.name for p in disk.iterdir()) == ["index.json", "masks"]
    assert LabelSet.load(home).samples[0].mask.max() == LabelSet.load(link).samples[1].mask.max() == 1


def killed_at(step: int, work: Callable[[], None]) -> bool:
    """Whether a process that does ``work`` was killed at its ``step``-th flush, renaming or removal; else it ended."""
    child = os.fork()
    if child == 0:
        left = [step]

        def counted(real: Callable[..., object]) -> Callable[..., object]:
            def call(*args: object, **kwargs: object) -> object:
                if left[0] == 0:
                    os._exit(9)
                left[0] -= 1
                return real(*args, **kwargs)

            return call

        for name in ("fsync", "replace", "unlink", "rename"):
            setattr(os, name, counted(getattr(os, name)))
        try:
            work()
        except BaseException:
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, 9)
    return code == 9


def test_a_kill_at_any_moment_leaves_the_old_or_the_new(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    old, new = label_set(0), label_set(1, ("b", "c"))
    seen = []
    for step in range(100):
        home = tmp_path / f"labels{step}"
        old.save(home)
        (home / "notes.txt").write_text("mine")
        caplog.clear()
        if not killed_at(step, lambda home=home: new.save(home, overwrite=True)):
            break
        found = LabelSet.load(home)
        assert found.content_sha256 in (old.content_sha256, new.content_sha256)
        seen.append(found.content_sha256 == new.content_sha256)
        assert ("an interrupted update was finished" in caplog.text) == (seen[-1] and bool(caplog.records))
        assert (home / "notes.txt").read_text() == "mine"
        new.save(home, overwrite=True)
        assert LabelSet.load(home).content_sha256 == new.content_sha256
    assert seen == sorted(seen)
    assert set(seen) == {False, True}
    assert step >= 10


def test_a_full_disk_says_what_is_left(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    before = contents(home)
    monkeypatch.setattr(folders.os, "fsync", full)
    with pytest.raises(WorkError, match=r"labels: cannot be written \(No space left on device\); it is as it was"):
        label_set(1).save(home, overwrite=True)
    assert contents(home) == before
    with pytest.raises(WorkError, match="No space left on device"), whole_folder(tmp_path / "new"):
        full(0)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["labels"]


def test_ctrl_c_while_writing_leaves_the_old(home: Path) -> None:
    before = contents(home)

    def interrupted() -> None:
        with updated_folder(home) as update:
            update.write("masks/a.png", b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert contents(home) == before


def test_an_empty_folder_is_filled_and_stays_the_same_folder(tmp_path: Path) -> None:
    """A mounted volume cannot be renamed away; a link to nowhere yet is followed."""
    volume = tmp_path / "volume"
    volume.mkdir()
    inode = volume.stat().st_ino
    label_set(1).save(volume)
    assert volume.stat().st_ino == inode
    assert sorted(p.name for p in volume.iterdir()) == ["images", "labelset.json", "masks"]
    (tmp_path / "link").symlink_to(tmp_path / "there")
    label_set(2).save(tmp_path / "link")
    assert LabelSet.load(tmp_path / "there").samples[0].mask.max() == 2
    with pytest.raises(InputError, match="exists already"):
        label_set(2).save(tmp_path / "link")


@pytest.mark.parametrize("path", ["../outside.txt", "/etc/outside", "a/../../outside.txt", "a/b/c"])
def test_a_journal_from_elsewhere_reaches_nothing_outside(home: Path, path: str) -> None:
    (home.parent / "outside.txt").write_text("mine")
    (home / folders.JOURNAL).write_text(json.dumps({"token": "abc", "writes": [], "removes": [path]}))
    with pytest.raises(InputError, match="is no file of this folder"):
        LabelSet.load(home)
    assert (home.parent / "outside.txt").read_text() == "mine"


def test_what_the_index_cannot_say_is_nobodys(home: Path) -> None:
    """A set whose index is damaged keeps every file; new ones do not overwrite old ones."""
    (home / "labelset.json").write_text("{}")
    before = contents(home)
    with pytest.raises(InputError, match="none of the label set's files"):
        label_set(1).save(home, overwrite=True)
    assert contents(home) == before
    replace(label_set(1), samples=()).save(home, overwrite=True)
    assert contents(home).keys() == before.keys()
