"""Whatever happens to a writer, the store can be resumed and ends the same, and no record ever lies."""

import functools
import os
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from storage_crash import (
    GROWN,
    SMALL,
    in_child,
    interrupted,
    join,
    killed_at_random,
    make,
    no_wrong_record,
    steps_and_store,
)
from storage_data import make_arrays, make_spec, tree

from labelfactory.storage import WorkError, create_store, finalize, verify

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")

measured = functools.cache(steps_and_store)


@settings(deadline=None, max_examples=15)
@given(data=st.data(), start=st.sampled_from([None, SMALL]))
def test_any_interrupted_prefix_of_the_steps_can_be_resumed(data, start):
    steps, whole = measured(start, GROWN)
    interrupted(start, GROWN, data.draw(st.integers(0, steps - 1), label="step"), whole)


@pytest.mark.slow
@pytest.mark.parametrize("writers", [1, 2])
def test_killed_writers_leave_a_store_that_ends_the_same(tmp_path, writers):
    spec = make_spec(count=24, height=32, width=32)
    make(tmp_path / "whole", spec)
    for run in range(3):
        folder = tmp_path / f"run{run}"
        killed_at_random(folder, spec, writers, random.Random(run), limit_s=0.4)
        assert tree(folder) == tree(tmp_path / "whole")


def test_two_writers_at_once_share_the_work(tmp_path):
    spec = make_spec(count=40)

    def work():
        made = 0
        with create_store(str(tmp_path / "set"), spec) as store:
            for shard in store.claim_missing():
                store.write_shard(shard, make_arrays(spec, shard))
                made += 1
            finalize(store)
        (tmp_path / f"made-{os.getpid()}").write_text(str(made))

    children = [in_child(work) for _ in range(2)]
    assert [join(child) for child in children] == [0, 0]
    assert sum(int(path.read_text()) for path in tmp_path.glob("made-*")) == 10  # none was made twice
    make(tmp_path / "alone", spec)
    assert tree(tmp_path / "set") == tree(tmp_path / "alone")


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 300 kB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(disk)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system needs root")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_is_one_clear_line_and_the_store_resumes(small_disk, tmp_path):
    spec = make_spec(count=10, height=64, width=64)
    with pytest.raises(WorkError, match=r"no space left for .*: free some, then run the same command again"):
        make(small_disk / "set", spec)
    no_wrong_record(small_disk / "set")
    assert not list((small_disk / "set/_tmp").iterdir())
    moved = Path(shutil.copytree(small_disk / "set", tmp_path / "set"))
    assert 0 < len(create_store(str(moved), spec).missing()) < 3
    make(moved, spec)
    assert verify(str(moved)).ok


def test_lost_permission_is_one_clear_line_and_the_store_resumes():
    spec = make_spec()
    with tempfile.TemporaryDirectory() as parent:
        os.chmod(parent, 0o777)
        folder, errors = Path(parent) / "set", Path(parent) / "errors"

        def work():
            if os.geteuid() == 0:
                os.setuid(65534)  # root may write anywhere
            store = create_store(str(folder), spec)
            store.write_shard(0, make_arrays(spec, 0))
            for path in [folder, *folder.rglob("*")]:
                if path.is_dir():
                    path.chmod(0o555)
            try:
                store.write_shard(1, make_arrays(spec, 1))
            except WorkError as error:
                errors.write_text(str(error))

        assert join(in_child(work)) == 0
        assert "no permission for" in errors.read_text()
        assert "grant it, then run the same command again" in errors.read_text()
        no_wrong_record(folder)
        for path in [folder, *folder.rglob("*")]:
            path.chmod(0o777)
        assert create_store(str(folder), spec).missing() == [1, 2]
        make(folder, spec)
        assert verify(str(folder)).ok


@pytest.mark.skipif(sys.platform != "linux", reason="counts what Linux is asked")
def test_a_record_is_asked_for_only_after_its_data_is_on_disk(tmp_path):
    """The order of the protocol, as the operating system sees it."""
    log = tmp_path / "log"
    store = create_store(str(tmp_path / "set"), make_spec())

    def work():
        with log.open("w") as lines:
            fsync, link, replace = os.fsync, os.link, os.replace

            def watch(name, function):
                def call(*args, **kwargs):
                    target = os.readlink(f"/proc/self/fd/{args[0]}") if name == "fsync" else str(args[1])
                    result = function(*args, **kwargs)
                    lines.write(f"{name} {target.replace(str(tmp_path / 'set'), '')}\n")
                    return result

                return call

            os.fsync, os.link, os.replace = watch("fsync", fsync), watch("link", link), watch("replace", replace)
            store.write_shard(0, make_arrays(store.spec, 0))

    assert join(in_child(work)) == 0
    lines = log.read_text().splitlines()
    record = lines.index("link /_commits/000000.json")
    for array in store.spec.shard_arrays():
        path = f"/{array.chunk_path(0)}"
        renamed = lines.index(f"replace {path}")
        assert lines[renamed - 1].startswith("fsync /_tmp/")  # its bytes before its name
        assert renamed < lines.index(f"fsync {os.path.dirname(path)}", renamed) < record  # its name before its record
    assert lines[record - 1].startswith("fsync /_tmp/")
    assert "fsync /_commits" in lines[record:]
