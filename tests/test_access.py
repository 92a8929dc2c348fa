"""What a deployed run may touch."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelfactory.errors import InputError
from labelfactory.flows.access import Access, permitted_path


@pytest.fixture
def access(tmp_path) -> Access:
    (tmp_path / "space").mkdir()
    (tmp_path / "shared").mkdir()
    return Access(tmp_path / "space", (str(tmp_path / "shared"), "s3://bucket/sets", "https://models.example.org"))


def test_the_workspace_and_the_operators_list_are_open(access, tmp_path):
    assert access.resolve("out", "a/b.zarr") == str(tmp_path / "space" / "a" / "b.zarr")
    assert access.resolve("out", f"file://{tmp_path}/space/c.zarr") == str(tmp_path / "space" / "c.zarr")
    assert access.resolve("labels", str(tmp_path / "shared" / "labels")) == str(tmp_path / "shared" / "labels")
    for url in ("s3://bucket/sets/a.zarr", "s3://bucket/sets", "https://models.example.org/gan.pkl"):
        assert access.resolve("out", url) == url
    assert access.resolve("generator", "builtin:nuclei64") == "builtin:nuclei64"


@pytest.mark.parametrize(
    "given",
    [
        "/etc/passwd",
        "../secret",
        "file:///etc/passwd",
        "local:///etc/passwd",
        "s3://bucket/setsandmore/a.zarr",
        "s3://bucket/sets/../other",
        "s3://bucket/sets/%2e%2e/other",
        "s3://other/sets/a.zarr",
        "s3://me@bucket/sets/a.zarr",
        "https://models.example.org@evil.org/gan.pkl",
        "https://models.example.org.evil.org/gan.pkl",
        "https://models.example.org/gan.pkl?redirect=x",
        "http://models.example.org/gan.pkl",
        "http://169.254.169.254/latest/meta-data",
        "simplecache::s3://bucket/sets/a.zarr",
        "zip://a::/etc/x.zip",
        "reference://x",
        "tcp://evil.org:8786",
        "file:/etc/passwd/../../etc/shadow",
    ],
)
def test_everything_else_is_refused_in_one_line(access, given):
    if given.startswith("file:/etc"):  # not a URL to us: a folder named "file:" in the workspace
        assert access.workspace in Path(access.resolve("out", "file:/etc/passwd")).parents
        return
    with pytest.raises(InputError, match="LABELFACTORY_ALLOW") as caught:
        access.resolve("out", given)
    assert "\n" not in str(caught.value)


def test_a_link_out_of_the_workspace_is_no_way_out(access, tmp_path):
    (access.workspace / "door").symlink_to("/etc")
    with pytest.raises(InputError, match="may use its workspace"):
        access.resolve("labels", "door/passwd")


@given(st.text(max_size=40))
def test_whatever_is_given_stays_inside_or_is_refused(given):
    access = Access(Path("/nowhere/work"), ("s3://bucket/sets",))
    try:
        result = access.resolve("out", given)
    except (InputError, ValueError):  # ValueError: a null byte in a path
        return
    inside = Path(result).is_relative_to("/nowhere/work")
    assert inside or result.startswith(("builtin:", "s3://bucket/sets"))


def test_runs_by_hand_are_not_limited():
    assert permitted_path("out", "/anywhere/at/all") == "/anywhere/at/all"
    with pytest.raises(InputError, match="out is empty"):
        permitted_path("out", "")
